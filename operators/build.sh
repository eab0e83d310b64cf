#!/bin/sh
# Builds operators to operators/built/NAME.wasm: core modules that carry their component type, which the runner encodes
# as components when it loads them. The one that tests run, `test`, is in tests/operator and is built to
# tests/operator/built.wasm.
#
#   operators/build.sh              all of them, `test` too
#   operators/build.sh window jq    those named
#   operators/build.sh --check ...  compares what they build to with what is committed
#
# Exit codes: 0 done, 1 failed or different, 2 different but built by another compiler, 3 no toolchain.
#
# It does by itself what `mosaik-runner build` does for other people's operators, for the runner holds what this builds:
# where an operator is missing or of another world, there is no runner to call.
#
# Uses the target wasm32-unknown-unknown of the toolchain if it is installed, else Debian's rustc-web and rust-web-src.
# MOSAIK_WASM_TARGET_DIR (target/operators by default) is cargo's folder for these builds.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
target=wasm32-unknown-unknown
target_dir=${MOSAIK_WASM_TARGET_DIR:-$root/target/operators}
check=no

fail() {
    echo "operators/build.sh: $*" >&2
    exit 1
}

# No toolchain: an exit code of its own, so that a caller can install one.
missing() {
    echo "operators/build.sh: $*" >&2
    exit 3
}

names=
for argument in "$@"; do
    case $argument in
        --check) check=yes ;;
        -*) fail "unknown option $argument (there is --check)" ;;
        *) names="$names $argument" ;;
    esac
done
if [ -z "$names" ]; then
    for manifest in "$here"/*/Cargo.toml; do
        # What builds to no module is what operators share.
        grep -q cdylib "$manifest" || continue
        names="$names $(basename "$(dirname "$manifest")")"
    done
    names="$names test"
fi

sysroot=$(rustc --print sysroot)
rustc=$(command -v rustc)
std=
if [ ! -d "$sysroot/lib/rustlib/$target" ]; then
    # /usr/bin by name: with rustup, `rustc` in the path is another one.
    debian=/usr/bin/rustc
    [ -x "$debian" ] && debian_sysroot=$("$debian" --print sysroot) || debian_sysroot=
    if [ -z "$debian_sysroot" ] || [ ! -d "$debian_sysroot/lib/rustlib/src/rust/library" ]; then
        missing "no Rust for $target: install it with 'rustup target add $target' or 'apt-get install rustc-web rust-web-src'"
    fi
    host=$(rustc -vV | sed -n 's/^host: //p')
    lld=$sysroot/lib/rustlib/$host/bin/rust-lld
    [ -x "$lld" ] || lld=$(command -v wasm-ld || command -v rust-lld) || missing "no linker: install lld"
    rustc=$debian
    std="-Zbuild-std=std,panic_abort"
    export RUSTC_BOOTSTRAP=1 CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$lld"
fi
export RUSTC="$rustc"

# Panics name source files; these shall not depend on where the sources lie.
library=$("$rustc" --print sysroot)/lib/rustlib/src/rust
remap="--remap-path-prefix=$root=."
remap="$remap --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
remap="$remap --remap-path-prefix=$library=rust --remap-path-prefix=$(readlink -f "$library" || echo "$library")=rust"
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="$remap"

# The package of an operator, and where it is committed built.
package() {
    [ "$1" = test ] && echo mosaik-test-operator || echo "mosaik-operator-$1"
}
committed() {
    [ "$1" = test ] && echo "$root/tests/operator/built.wasm" || echo "$here/built/$1.wasm"
}

for name in $names; do
    [ "$name" = test ] || [ -f "$here/$name/Cargo.toml" ] || fail "there is no operator '$name'"
done
# How far it is optimised: those that would be over 300 KB else do little for each datum that speed could be gained by.
optimised() {
    case $1 in
        enrich | join | window) echo s ;;
        *) echo 3 ;;
    esac
}

for name in $names; do
    export CARGO_PROFILE_OPERATOR_OPT_LEVEL="$(optimised "$name")"
    # Each by itself: built together, they would have the features that any of them wants of a dependency, and other bytes.
    # shellcheck disable=SC2086 # a list of words
    (cd "$root" && CARGO_TARGET_DIR="$target_dir" cargo build --locked $std --profile operator --target "$target" -p "$(package "$name")")
done

[ "$check" = yes ] || mkdir -p "$here/built"
differing=
for name in $names; do
    built=$target_dir/$target/operator/$(package "$name" | tr - _).wasm
    committed=$(committed "$name")
    if [ "$check" = no ]; then
        cp "$built" "$committed"
        chmod 644 "$committed"
    elif ! cmp -s "$built" "$committed"; then
        differing="$differing $name"
    fi
    echo "$name: $(wc -c <"$built") bytes"
done
if [ "$check" = yes ]; then
    version="rustc $("$rustc" -V | cut -d' ' -f2)"
    built=$(cat "$here/built/RUSTC" 2>/dev/null || echo "an unknown rustc")
    if [ -z "$differing" ]; then
        echo "what is committed is what these sources build"
    elif [ "$version" != "$built" ]; then
        echo "differ:$differing; but they were built by $built, and this is $version, so that says nothing" >&2
        exit 2
    else
        fail "not what these sources build:$differing; run operators/build.sh and commit the result"
    fi
else
    echo "rustc $("$rustc" -V | cut -d' ' -f2)" >"$here/built/RUSTC"
fi
