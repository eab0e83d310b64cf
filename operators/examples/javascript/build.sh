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

missing() {
    echo "$0: $*" >&2
    exit 3
}

major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null) || major=0
[ "$major" -ge 20 ] || missing "there is no node 20 or later: install it from your distribution or from nodejs.org"

case ${1:-} in
    --install)
        shift
        command -v npm >/dev/null || missing "there is no npm: install it from your distribution or from nodejs.org"
        mkdir -p "$tools"
        npm install --prefix "$tools" --no-audit --no-fund @bytecodealliance/componentize-js@0.23.0
        ;;
    -*)
        echo "$0: unknown option $1 (there is --install)" >&2
        exit 1
        ;;
esac
out=${1:-$here/lines.wasm}

componentize=$tools/node_modules/.bin/componentize-js
[ -x "$componentize" ] || missing "there is no componentize-js in $tools: '$0 --install' installs it there"

# Without these features the engine has no use for anything of `wasi:`, and no import of it is left.
"$componentize" "$here/lines.js" --wit "$wit" --world-name operator \
    --disable stdio --disable random --disable clocks --disable http --disable fetch-event --out "$out"
