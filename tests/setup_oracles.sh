#!/bin/sh
# Fetches what tests compare with: .venv at the root of the repository with packages of PyPI, and
# tests/node_modules with those that tests/package.json names.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
[ -x "$root/.venv/bin/python" ] || python3 -m venv "$root/.venv"
"$root/.venv/bin/pip" install --quiet --no-compile 'tokenizers>=0.20' 'sentencepiece>=0.2' 'jinja2>=3.1' 'jsonschema>=4.10'
npm install --silent --no-audit --no-fund --no-package-lock --prefix "$root/tests"
