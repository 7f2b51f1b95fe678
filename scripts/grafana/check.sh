#!/usr/bin/env bash
# Asks a real Prometheus everything that the dashboard asks, while a run goes on, and fails if one query has no data.
# Needs prometheus (Debian: apt-get install prometheus) and python3.
#   scripts/grafana/check.sh [TARE]       default: target/release/tare
#   SERVER   HOST:PORT of a vLLM with the run's model; else the embedded one is started
#   PORT     the first of three free ports (23020)
set -euo pipefail
cd "$(dirname "$0")/../.."
tare=$(realpath "${1:-target/release/tare}")
port=${PORT:-23020}
scratch=$(mktemp -d)
started=()
stop() {
  for pid in ${started[@]+"${started[@]}"}; do kill "$pid" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$scratch"
}
trap stop EXIT
server=${SERVER:-127.0.0.1:$port}
if [ -z "${SERVER:-}" ]; then
  "$tare" serve --port "$port" >"$scratch/serve.log" 2>&1 &
  started+=($!)
  until grep -q 'Application startup complete' "$scratch/serve.log"; do sleep 0.2; done
fi
client=127.0.0.1:$((port + 1)) prometheus=127.0.0.1:$((port + 2))
cat >"$scratch/prometheus.yml" <<YAML
global: {scrape_interval: 1s}
scrape_configs:
  - {job_name: tare, static_configs: [{targets: ['$client']}]}
  - {job_name: vllm, static_configs: [{targets: ['$server']}]}
YAML
prometheus --config.file="$scratch/prometheus.yml" --storage.tsdb.path="$scratch/data" \
  --web.listen-address="$prometheus" >"$scratch/prometheus.log" 2>&1 &
started+=($!)
"$tare" run --base-url "http://$server" --users 4 --duration 45 --random-input-len 40 --random-output-len 16 \
  --ignore-eos --listen-metrics "$client" --output "$scratch/run" >"$scratch/run.log" 2>&1 &
started+=($!)
sleep 30
python3 scripts/grafana/ask.py "http://$prometheus" assets/grafana/tare.json || {
  tail -n 5 "$scratch"/*.log >&2
  exit 1
}
