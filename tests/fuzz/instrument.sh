#!/bin/sh
# Stands in front of rustc for our own crates (RUSTC_WORKSPACE_WRAPPER) and lets them count what they run, for libFuzzer:
# the flags of cargo-fuzz, which a stable compiler takes as well. Everything else of the tree is what the program is built from anyway.
# Overflow checks and debug assertions of our own crates are on, as in tests.
case " $* " in
    *" --crate-name build_script_build "*) exec "$@" ;;
    *" --crate-name "*) ;;
    *) exec "$@" ;;
esac
exec "$@" -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares -C opt-level=2 -C debug-assertions=on -C overflow-checks=on \
    -C codegen-units=16
