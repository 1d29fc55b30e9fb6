#!/bin/sh
# Rebuilds the committed components from their sources: the Rhai interpreter and the built-in runbooks in Rust.
#   sdk/guests.sh           rebuilds all of them (or those named: sdk/guests.sh runbooks/restart-exited)
#   sdk/guests.sh --generate  writes the files of the SDKs that are made from sdk/wit
#   sdk/guests.sh --check   says whether components and sources belong together; needs no wasm toolchain
# Uses the rustup target wasm32-unknown-unknown where it is installed, else Debian's wasm toolchain.
set -eu

cd "$(dirname "$0")/.."
root=$PWD
target=wasm32-unknown-unknown

if [ "${1:-}" = --generate ]; then
    exec cargo run --quiet -p sandbook-pack -- generate
fi
if [ "${1:-}" = --check ]; then
    exec cargo run --quiet -p sandbook-pack -- check
fi

# The same sources give the same bytes: no seed from the clock, no path of this machine.
export CONST_RANDOM_SEED=sandbook
export CARGO_TARGET_DIR="$root/sdk/target"
export CARGO_INCREMENTAL=0
cargo_home=${CARGO_HOME:-$HOME/.cargo}
remap="--remap-path-prefix=$root=/sandbook --remap-path-prefix=$cargo_home=/cargo"

missing() {
    echo "guests.sh: no toolchain for $target. Install one of:" >&2
    echo "  rustup target add $target" >&2
    echo "  apt-get install rustc-web cargo-web rust-web-src lld-22    # Debian; missing here: $1" >&2
    exit 1
}

if command -v rustup >/dev/null && rustup target list --installed 2>/dev/null | grep -qx "$target"; then
    compile() { RUSTFLAGS="$remap" cargo build --quiet --release --locked --target "$target"; }
else
    absent=
    [ -x /usr/bin/cargo ] || absent="$absent cargo-web"
    [ -x /usr/bin/rustc ] || absent="$absent rustc-web"
    [ -d /usr/lib/rustlib/src/rust/library ] || absent="$absent rust-web-src"
    command -v wasm-ld-22 >/dev/null || absent="$absent lld-22"
    [ -z "$absent" ] || missing "$absent"
    compile() {
        RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=wasm-ld-22 RUSTFLAGS="$remap" \
            /usr/bin/cargo build --quiet --release --locked -Zbuild-std=std,panic_abort --target "$target"
    }
fi

guests=$*
if [ -z "$guests" ]; then
    guests=sdk/rhai
    for manifest in runbooks/*/Cargo.toml tests/cases/*/Cargo.toml; do
        guests="$guests $(dirname "$manifest")"
    done
fi

(unset CARGO_TARGET_DIR; cargo build --quiet -p sandbook-pack --features build)
for guest in $guests; do
    (cd "$guest" && compile)
    module=$(sed -n 's/^name = "\(.*\)"$/\1/p' "$guest/Cargo.toml" | head -n 1 | tr - _)
    (unset CARGO_TARGET_DIR; cargo run --quiet -p sandbook-pack --features build -- pack "$guest" "sdk/target/$target/release/$module.wasm")
done
