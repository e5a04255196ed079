#!/bin/sh
# Stands in front of rustc for our own crates (RUSTC_WORKSPACE_WRAPPER) and lets them count what they run, for libFuzzer:
# the flags of cargo-fuzz, which a stable compiler takes as well. Everything else of the tree is what tests use anyway.
# Overflows and debug assertions stay on, as in every build of this profile.
case " $* " in
    *" --crate-name build_script_build "*) exec "$@" ;;
    *" --crate-name "*) ;;
    *) exec "$@" ;;
esac
exec "$@" -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares -C opt-level=2
