#!/usr/bin/env bash
# Installs llama.cpp's server for the CPU into a virtual environment, with a tiny model of random weights and
# the tokenizer of scripts/vllm-cpu: about a minute and 200 MB. Nothing but the Python package index is
# needed: the package xllamacpp holds llama.cpp's own C++ server, compiled.
#   scripts/llamacpp-cpu/install.sh [VENV]        default: $HOME/.cache/tare/llamacpp-venv
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${1:-$HOME/.cache/tare/llamacpp-venv}
# llama.cpp's build is the last number: b11549.
version=2026.10.11549
if [ -f "$venv/tiny.gguf" ] && "$venv/bin/python" -c 'import xllamacpp' 2>/dev/null; then
  echo "already there: $venv"
  exit 0
fi
python3 -m venv "$venv"
"$venv/bin/pip" install -q "xllamacpp==$version" 'gguf==0.19.0' 'tokenizers>=0.20,<1'
"$venv/bin/python" "$here/../vllm-cpu/make_model.py" "$venv/tiny-model" "$here"/../../requests/*.jsonl "$here"/../../README.md
"$venv/bin/python" "$here/make_gguf.py" "$venv/tiny-model" "$venv/tiny.gguf"
echo "ready: $venv"
