#!/usr/bin/env bash
# Holds the dashboard against Grafana's own published types, strictly: a field that Grafana does not know, or of another
# type, is an error. Needs node and npm, which fetches @grafana/schema and typescript.
#   scripts/grafana/types.sh [VERSION]        default: 13.2.3
set -euo pipefail
dashboard=$(cd "$(dirname "$0")/../.." && pwd)/assets/grafana/tare.json
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund "@grafana/schema@${1:-13.2.3}" typescript@7.0.2
# As a literal, so that the compiler looks for fields that are too many, too.
{
  echo "import { Dashboard } from '@grafana/schema';"
  echo 'const dashboard: Dashboard ='
  cat "$dashboard"
  echo ';'
  echo 'export default dashboard;'
} >dashboard.ts
npx tsc --noEmit --strict --skipLibCheck --module esnext --moduleResolution bundler --target es2022 dashboard.ts
echo "$(basename "$dashboard") is a dashboard of Grafana ${1:-13.2.3}"
