#!/usr/bin/env bash
# Starts a gateway in the foreground, before a server; SIGTERM stops it. Its configuration is made of
# templates/ and of the snippet that `tare audit --print-config` prints, so what is printed is what runs.
#   scripts/gateways/run.sh PRODUCT VARIANT LISTEN UPSTREAM DIR
#     PRODUCT           nginx haproxy envoy caddy traefik litellm
#     VARIANT           default: as little as it takes; mended: with all that the snippet advises; timed: with
#                       a Server-Timing of its own as its users write one, of nginx and haproxy
#     LISTEN, UPSTREAM  HOST:PORT
#     DIR               a folder for its files: access.log is what tare reads
#   VENV   the virtual environment of install.sh, default $HOME/.cache/tare/gateways-venv
# LiteLLM wants a key, $LITELLM_MASTER_KEY, by default sk-local, and the model's name, $MODEL, by default
# that of `tare serve`.
set -euo pipefail
if [ $# != 5 ]; then
  sed -n '2,/^set/{/^# /s/^# //p}' "$0" >&2
  exit 2
fi
product=$1 variant=$2 listen=$3 upstream=$4
here=$(cd "$(dirname "$0")" && pwd)
assets=$here/../../assets/gateways
venv=${VENV:-$HOME/.cache/tare/gateways-venv}
PATH=$PATH:/usr/sbin:$venv/bin
mkdir -p "$5"
dir=$(cd "$5" && pwd)
log=$dir/access.log
case $product-$variant in
*-default | *-mended | nginx-timed | haproxy-timed) ;;
*)
  echo "run.sh: no such variant: $variant; there are default and mended, and timed of nginx and haproxy" >&2
  exit 2
  ;;
esac

need() {
  if ! command -v "$1" >/dev/null; then
    echo "run.sh: $1 is not installed" >&2
    echo "  hint: scripts/gateways/install.sh $product" >&2
    exit 1
  fi
}

# The snippet; for `mended` with its settings turned on: the lines with `#` and no blank after it.
snippet() {
  sed -e "s#/var/log/[a-z]*/tare.log#$log#" "$assets/$1" |
    if [ "$variant" = mended ]; then sed -e 's/^#\([a-z]\)/\1/'; else cat; fi
}

# A template with the snippet in its place, as far in as the place is, and the addresses.
fill() {
  snippet "$2" >"$dir/snippet"
  awk -v snippet="$dir/snippet" '
    /^[ \t]*@SNIPPET@$/ {
      indent = substr($0, 1, index($0, "@") - 1)
      while ((getline line < snippet) > 0) print (line == "" ? "" : indent line)
      next
    }
    { print }' "$here/templates/$1" |
    sed -e "s#@DIR@#$dir#g" -e "s#@LISTEN@#$listen#g" -e "s#@UPSTREAM@#$upstream#g" \
      -e "s#@MODEL@#${MODEL:-tare-mock}#g" \
      -e "s#@LISTEN_HOST@#${listen%:*}#g" -e "s#@LISTEN_PORT@#${listen##*:}#g" \
      -e "s#@UPSTREAM_HOST@#${upstream%:*}#g" -e "s#@UPSTREAM_PORT@#${upstream##*:}#g" >"$dir/$3"
}

case $product in
nginx)
  need nginx
  fill "nginx-$variant.conf" nginx.conf nginx.conf
  exec nginx -c "$dir/nginx.conf" -e "$dir/error.log"
  ;;
haproxy)
  need haproxy
  template=haproxy.cfg
  [ "$variant" != timed ] || template=haproxy-timed.cfg
  fill "$template" haproxy.cfg haproxy.cfg
  # Not `>>`: HAProxy takes O_APPEND from it, and would write over the beginning of an older log.
  exec haproxy -db -f "$dir/haproxy.cfg" >"$log"
  ;;
envoy)
  need envoy
  fill envoy.yaml envoy.yaml envoy.yaml
  exec envoy -c "$dir/envoy.yaml" --concurrency 1 --disable-hot-restart --file-flush-interval-msec 100 -l warning
  ;;
caddy)
  need caddy
  fill caddy.caddyfile caddy.caddyfile Caddyfile
  HOME=$dir exec caddy run --adapter caddyfile --config "$dir/Caddyfile"
  ;;
traefik)
  need traefik
  fill traefik.yml traefik.yml traefik.yml
  fill traefik-routes.yml traefik.yml traefik-routes.yml
  exec traefik --configFile="$dir/traefik.yml"
  ;;
litellm)
  need litellm
  cp "$assets/litellm.py" "$dir/tare_litellm.py"
  fill litellm.yaml litellm.py litellm.yaml
  export LITELLM_MASTER_KEY=${LITELLM_MASTER_KEY:-sk-local} TARE_LITELLM_LOG=$log
  export LITELLM_LOCAL_MODEL_COST_MAP=True LITELLM_TELEMETRY=False DO_NOT_TRACK=1
  cd "$dir"
  exec litellm --config "$dir/litellm.yaml" --host "${listen%:*}" --port "${listen##*:}"
  ;;
*)
  echo "run.sh: no such product: $product; there are nginx haproxy envoy caddy traefik litellm" >&2
  exit 2
  ;;
esac
