#!/usr/bin/env bash
# Starts the real vLLM in the foreground, with the tiny model under the name 'tiny' (at most 2,048
# tokens). vLLM's flags are passed on. These, before them, turn on what tare can read:
#   --with-spans       spans, every half second, to OTLP (the receiver that `tare run --otlp` opens, port 4317)
#   --with-in-band     each request's metrics in its answer
#   --with-us-log      request lines, and microsecond stamps (configs/vllm-logging-us.json)
#   --with-stat-log    finished requests to $TARE_STAT_LOG (vllm-stat.jsonl), by the plugin of install.sh
#   --with-everything  all of these
# For example: scripts/vllm-cpu/serve.sh --with-everything > vllm.log
# Ready (GET /health answers) after 40 to 160 seconds; SIGTERM stops it.
#   VENV   the virtual environment of install.sh        PORT   8200        OTLP   http://127.0.0.1:4317
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=${VENV:-$HOME/.cache/tare/vllm-venv}
flags=()
with() {
  case $1 in
  spans)
    export OTEL_BSP_SCHEDULE_DELAY=${OTEL_BSP_SCHEDULE_DELAY:-500}
    flags+=(--otlp-traces-endpoint "${OTLP:-http://127.0.0.1:4317}")
    ;;
  in-band) flags+=(--enable-per-request-metrics) ;;
  us-log)
    export VLLM_LOGGING_CONFIG_PATH=$root/configs/vllm-logging-us.json
    flags+=(--enable-log-requests)
    ;;
  stat-log) export TARE_STAT_LOG=${TARE_STAT_LOG:-vllm-stat.jsonl} ;;
  everything) for each in spans in-band us-log stat-log; do with "$each"; done ;;
  *)
    echo "serve.sh: no such option: --with-$1" >&2
    exit 2
    ;;
  esac
}
while [[ ${1:-} == --with-* ]]; do
  with "${1#--with-}"
  shift
done
unset PYTHONDONTWRITEBYTECODE
export VLLM_TARGET_DEVICE=cpu VLLM_CPU_KVCACHE_SPACE=${VLLM_CPU_KVCACHE_SPACE:-1}
export VLLM_CPU_OMP_THREADS_BIND=nobind OMP_NUM_THREADS=1
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 PATH="$venv/bin:$PATH"
exec "$venv/bin/vllm" serve "${MODEL:-$venv/tiny-model}" --served-model-name tiny --load-format dummy \
  --dtype float32 --enforce-eager --max-model-len 2048 --host 127.0.0.1 --port "${PORT:-8200}" ${flags[@]+"${flags[@]}"} "$@"
