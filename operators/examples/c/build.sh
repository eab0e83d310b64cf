#!/bin/sh
# Builds the operator: a core module that carries its component type, which the runner makes a component of.
#
#   build.sh [OUT]        to OUT, by default anomaly.wasm beside this script
#   build.sh --bindings   regenerates bindings/ from operator.wit with wit-bindgen; builds nothing
#
# Exit codes: 0 done, 1 failed, 3 something that it needs is not here.
#
# Needs clang, wasm-ld, and a C library for wasm32-wasi with clang's builtins for it. The bindings are committed; only
# --bindings needs wit-bindgen, which is looked for in PATH and in the folder of tools: MOSAIK_TOOLS_DIR, by default
# ~/.cache/mosaik-runner/tools.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
wit=$here/../../../wasm-sdk/wit/operator.wit
bindings=$here/bindings
tools=${MOSAIK_TOOLS_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/mosaik-runner/tools}
wit_bindgen=0.60.0

missing() {
    echo "$0: $*" >&2
    exit 3
}

case ${1:-} in
    --bindings)
        PATH=$PATH:$tools/bin
        [ "$(wit-bindgen --version 2>/dev/null)" = "wit-bindgen-cli $wit_bindgen" ] ||
            missing "there is no wit-bindgen $wit_bindgen: install it with 'cargo install wit-bindgen-cli --locked" \
                "--version $wit_bindgen --no-default-features --features c --root $tools'"
        wit-bindgen c --world operator --out-dir "$bindings" "$wit"
        exit
        ;;
    -*)
        echo "$0: unknown option $1 (there is --bindings)" >&2
        exit 1
        ;;
esac
out=${1:-$here/anomaly.wasm}

packages="on Debian, 'apt-get install clang lld wasi-libc libclang-rt-dev-wasm32' gives all it needs"
for tool in clang wasm-ld; do
    command -v "$tool" >/dev/null || missing "there is no $tool; $packages"
done

try=$(mktemp -d)
trap 'rm -rf "$try"' EXIT
echo 'int main(void) { return 0; }' >"$try/try.c"
clang --target=wasm32-wasi -o "$try/try.wasm" "$try/try.c" 2>"$try/said" ||
    missing "clang cannot build for wasm32-wasi: $(head -n 1 "$try/said"); $packages"

clang --target=wasm32-wasi -mexec-model=reactor -nostartfiles -Wl,--no-entry -Wl,--strip-all -Wl,-z,stack-size=65536 \
    -Os -Wall -Wextra -Werror -I "$bindings" -o "$out" \
    "$here/anomaly.c" "$here/no_system.c" "$bindings/operator.c" "$bindings/operator_component_type.o" -lm
