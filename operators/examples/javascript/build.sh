#!/bin/sh
# Builds the operator: a component with its JavaScript engine, which imports nothing but what every operator may reach.
#
#   build.sh [OUT]             to OUT, by default lines.wasm beside this script
#   build.sh --install [OUT]   installs componentize-js first, to the folder of tools
#
# Exit codes: 0 done, 1 failed, 3 something that it needs is not here.
#
# Needs node 20 or later, and componentize-js in the folder of tools: MOSAIK_TOOLS_DIR, by default
# ~/.cache/mosaik-runner/tools.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
wit=$here/../../../wasm-sdk/wit/operator.wit
tools=${MOSAIK_TOOLS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/mosaik-runner/tools}/javascript

if [ "${1:-}" = --install ]; then
    shift
    mkdir -p "$tools"
    npm install --prefix "$tools" --no-audit --no-fund @bytecodealliance/componentize-js@0.23.0
fi
out=${1:-$here/lines.wasm}

componentize=$tools/node_modules/.bin/componentize-js
if ! command -v node >/dev/null || [ ! -x "$componentize" ]; then
    echo "$0: there is no node with componentize-js; '$0 --install' installs the latter" >&2
    exit 3
fi

# Without these features the engine has no use for anything of `wasi:`, and no import of it is left.
"$componentize" "$here/lines.js" --wit "$wit" --world-name operator \
    --disable stdio --disable random --disable clocks --disable http --disable fetch-event --out "$out"
