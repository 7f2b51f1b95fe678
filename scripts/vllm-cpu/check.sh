#!/usr/bin/env bash
# Installs and starts the real vLLM with everything on, runs the tests that need it, stops it.
#   scripts/vllm-cpu/check.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
export VENV=${VENV:-$HOME/.cache/tare/vllm-venv}
export PORT=${PORT:-8200}
"$here/install.sh" "$VENV"
(cd assets/vllm_tare_logger && python3 -B -m unittest)
log=$(mktemp)
TARE_STAT_LOG=$(mktemp)
export TARE_STAT_LOG
echo "vLLM's log: $log, its stat log: $TARE_STAT_LOG"
# Spans go to the receiver that each `tare run` opens on the usual port.
"$here/serve.sh" --with-everything >"$log" 2>&1 &
server=$!
stop() {
  kill "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
}
trap stop EXIT
health() { (exec 3<>"/dev/tcp/127.0.0.1/$PORT" && printf 'GET /health HTTP/1.0\r\n\r\n' >&3 && head -n 1 <&3 | grep -q ' 200 ') 2>/dev/null; }
until health; do
  if ! kill -0 "$server" 2>/dev/null; then
    echo "vLLM did not start:" >&2
    tail -n 40 "$log" >&2
    exit 1
  fi
  sleep 1
done
TARE_VLLM_URL="http://127.0.0.1:$PORT" TARE_VLLM_LOG="$log" TARE_VLLM_STAT_LOG="$TARE_STAT_LOG" \
  cargo test --release --test it real_vllm -- --ignored --nocapture
