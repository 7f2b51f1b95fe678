#!/usr/bin/env bash
# Starts the real vLLM in the foreground, with the tiny model under the name 'tiny' (at most 2,048
# tokens). Further vLLM flags are passed on, for example:
#   scripts/vllm-cpu/serve.sh --enable-per-request-metrics --enable-log-requests \
#       --otlp-traces-endpoint http://127.0.0.1:4317 > vllm.log
# Ready (GET /health answers) after 40 to 160 seconds; SIGTERM stops it.
#   VENV   the virtual environment of install.sh        PORT   8200
# Spans at once: OTEL_BSP_SCHEDULE_DELAY=500. Microsecond log stamps:
#   VLLM_LOGGING_CONFIG_PATH=scripts/vllm-cpu/logging_us.json
set -euo pipefail
venv=${VENV:-$HOME/.cache/tare/vllm-venv}
unset PYTHONDONTWRITEBYTECODE
export VLLM_TARGET_DEVICE=cpu VLLM_CPU_KVCACHE_SPACE=${VLLM_CPU_KVCACHE_SPACE:-1}
export VLLM_CPU_OMP_THREADS_BIND=nobind OMP_NUM_THREADS=1
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 VLLM_NO_USAGE_STATS=1 DO_NOT_TRACK=1 PATH="$venv/bin:$PATH"
exec "$venv/bin/vllm" serve "${MODEL:-$venv/tiny-model}" --served-model-name tiny --load-format dummy \
  --dtype float32 --enforce-eager --max-model-len 2048 --host 127.0.0.1 --port "${PORT:-8200}" "$@"
