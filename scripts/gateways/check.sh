#!/usr/bin/env bash
# Installs the gateways that are given and runs the tests that need them, each before the look-alike.
#   scripts/gateways/check.sh [PRODUCT…]      default: nginx haproxy; `all`: every one
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || set -- nginx haproxy
[ "$1" != all ] || set -- nginx haproxy envoy caddy traefik litellm
"$here/install.sh" "$@"
cd "$here/../.."
filters=()
for product in "$@"; do filters+=("gateways::$product::" "gateways::audits_$product"); done
exec cargo test --release --test it -- --ignored "${filters[@]}"
