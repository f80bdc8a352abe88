#!/bin/sh
# Makes .venv at the root of the repository, with the packages that hf_oracle.py compares with.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
[ -x "$root/.venv/bin/python" ] || python3 -m venv "$root/.venv"
"$root/.venv/bin/pip" install --quiet --no-compile 'tokenizers>=0.20' 'sentencepiece>=0.2'
