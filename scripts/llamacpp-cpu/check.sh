#!/usr/bin/env bash
# Installs and starts llama.cpp's server, runs the test that needs it, stops it.
#   scripts/llamacpp-cpu/check.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
export VENV=${VENV:-$HOME/.cache/tare/llamacpp-venv}
export PORT=${PORT:-8300}
"$here/install.sh" "$VENV"
log=$(mktemp)
echo "llama.cpp's log: $log"
"$here/serve.sh" >"$log" 2>&1 &
server=$!
stop() {
  kill "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
}
trap stop EXIT
health() { (exec 3<>"/dev/tcp/127.0.0.1/$PORT" && printf 'GET /health HTTP/1.0\r\n\r\n' >&3 && head -n 1 <&3 | grep -q ' 200 ') 2>/dev/null; }
until health; do
  if ! kill -0 "$server" 2>/dev/null; then
    echo "llama.cpp's server did not start:" >&2
    tail -n 40 "$log" >&2
    exit 1
  fi
  sleep 0.2
done
TARE_LLAMA_CPP_URL="http://127.0.0.1:$PORT" TARE_LLAMA_CPP_LOG="$log" \
  cargo test --release --test it real_llama_cpp -- --ignored --nocapture
