#!/bin/sh
# Builds the operator: a core module that carries its component type, which the runner makes a component of.
#
#   build.sh [OUT]             to OUT, by default anomaly.wasm beside this script
#   build.sh --install [OUT]   installs what it needs first: packages of Debian, and wit-bindgen to the folder of tools
#
# Exit codes: 0 done, 1 failed, 3 something that it needs is not here.
#
# Needs clang, wasm-ld, a C library for wasm32-wasi with clang's builtins for it, and wit-bindgen, which is looked for in
# PATH and in the folder of tools: MOSAIK_TOOLS_DIR, by default ~/.cache/mosaik-runner/tools.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
wit=$here/../../../wasm-sdk/wit/operator.wit
tools=${MOSAIK_TOOLS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/mosaik-runner/tools}
PATH=$PATH:$tools/bin

missing() {
    echo "$0: $*; '$0 --install' installs it" >&2
    exit 3
}

if [ "${1:-}" = --install ]; then
    shift
    apt-get install -y --no-install-recommends clang lld wasi-libc libclang-rt-dev-wasm32
    command -v wit-bindgen >/dev/null || cargo install wit-bindgen-cli --locked --version '~0.60.0' \
        --no-default-features --features c --root "$tools"
fi
out=${1:-$here/anomaly.wasm}

for tool in clang wasm-ld wit-bindgen; do
    command -v "$tool" >/dev/null || missing "there is no $tool"
done

bindings=$(mktemp -d)
trap 'rm -rf "$bindings"' EXIT
echo 'int main(void) { return 0; }' >"$bindings/try.c"
clang --target=wasm32-wasi -o "$bindings/try.wasm" "$bindings/try.c" 2>"$bindings/said" ||
    missing "clang cannot build for wasm32-wasi: $(head -n 1 "$bindings/said")"

wit-bindgen c --world operator --out-dir "$bindings" "$wit" >/dev/null 2>&1
clang --target=wasm32-wasi -mexec-model=reactor -nostartfiles -Wl,--no-entry -Wl,--strip-all -Wl,-z,stack-size=65536 \
    -Os -Wall -Wextra -Werror -I "$bindings" -o "$out" \
    "$here/anomaly.c" "$here/no_system.c" "$bindings/operator.c" "$bindings/operator_component_type.o" -lm
