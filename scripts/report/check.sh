#!/usr/bin/env bash
# Drives report.html in a headless Chromium: pointing, choosing, filtering, keys, without scripts, on paper; no
# error on the console, no request to anywhere. Keeps pictures at three widths, light and dark.
#   scripts/report/check.sh [RUN_FOLDER ...]       default: a run of the demo, shortened
# Needs Chromium (Debian: apt-get install chromium), Node and npm, from which it gets playwright-core.
#   CHROMIUM   /usr/bin/chromium        PICTURES   a new folder, which the last line names
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
export DRIVER=${DRIVER:-$HOME/.cache/tare/report-driver}
mkdir -p "$DRIVER"
if [ ! -d "$DRIVER/node_modules/playwright-core" ]; then
  (cd "$DRIVER" && npm install --silent --no-save playwright-core@1.49.1)
fi
if [ $# -eq 0 ]; then
  run=$(mktemp -d)/demo
  (cd "$root" && cargo run --release -- --quiet run configs/demo.yaml --output "$run" --duration 20 --ramp-s 5)
  set -- "$run"
fi
pictures=${PICTURES:-$(mktemp -d)}
pages=()
for folder in "$@"; do pages+=("$folder/report.html"); done
status=0
node "$here/drive.mjs" "$pictures" "${pages[@]}" || status=$?
echo "pictures: $pictures"
exit $status
