#!/usr/bin/env bash
# Starts llama.cpp's server in the foreground, with the tiny model under the name 'tiny' (2,048 tokens in each
# of four slots) and its metrics on. Flags of server.py are passed on; its log goes to stderr.
# For example: scripts/llamacpp-cpu/serve.sh 2> llama.log
# Ready (GET /health answers) after a second; SIGTERM stops it.
#   VENV   the virtual environment of install.sh        PORT   8300
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv=${VENV:-$HOME/.cache/tare/llamacpp-venv}
exec "$venv/bin/python" "$here/server.py" "$venv/tiny.gguf" "${PORT:-8300}" "$@"
