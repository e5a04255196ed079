#!/bin/bash
# Fuzzes one target after the other, each for a bounded time, on a stable compiler. See tests/fuzz/README.md.
#
#   tests/fuzz/run.sh [TARGET...]
#
#   HODOSCOPE_FUZZ_SECONDS   how long each target is fuzzed; 60
#   HODOSCOPE_FUZZ_MODE      fuzz, or minimize: then a small corpus is made from tests/fuzz/corpus/TARGET and the working corpus, in a
#                            temporary folder that is named, for whoever wants to take inputs from it
#
# The working corpus, what was found and the count of executions stay in ${HODOSCOPE_CACHE:-$HOME/.cache/hodoscope}/fuzz.
# The exit code is 1 when something was found, 2 for a target that there is not.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=${HODOSCOPE_FUZZ_SECONDS:-60}
mode=${HODOSCOPE_FUZZ_MODE:-fuzz}
cache=${HODOSCOPE_CACHE:-$HOME/.cache/hodoscope}
work=$cache/fuzz
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
[ $# -gt 0 ] || set -- $(ls tests/fuzz/corpus)
for target in "$@"; do
    [ -d "tests/fuzz/corpus/$target" ] || { echo "fuzz: no target $target: one of $(ls tests/fuzz/corpus | xargs)" >&2; exit 2; }
done
mkdir -p "$work"
# The worlds of the targets that need one are made in here, and go with it.
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
# The release profile, because most of what an input costs is spent in crates of others: optimized, they take a tenth of the time.
# shellcheck disable=SC2086  # several words are meant
RUSTC_WORKSPACE_WRAPPER=$PWD/tests/fuzz/instrument.sh ${HODOSCOPE_CARGO:-cargo} \
    build --release --locked --workspace --features fuzz/libfuzzer --example fuzz
fuzzer=$CARGO_TARGET_DIR/release/examples/fuzz
found=0
for target in "$@"; do
    export HODOSCOPE_FUZZ_TARGET=$target
    mkdir -p "$work/corpus/$target" "$work/found"
    if [ "$mode" = minimize ]; then
        small=$(mktemp -d)
        TMPDIR=$tmp "$fuzzer" -merge=1 -max_len=1024 -timeout=10 "$small" "tests/fuzz/corpus/$target" "$work/corpus/$target" 2>"$work/$target.log"
        echo "$target: $(find "$small" -type f | wc -l) inputs, $(du -cb "$small"/* | tail -1 | cut -f1) bytes in $small"
        continue
    fi
    code=0
    TMPDIR=$tmp "$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=4096 -len_control=20 \
        -print_final_stats=1 -artifact_prefix="$work/found/$target-" \
        "$work/corpus/$target" "tests/fuzz/corpus/$target" >"$work/$target.log" 2>&1 || code=$?
    n=$(grep -a -oP 'stat::number_of_executed_units:\s*\K\d+' "$work/$target.log" | tail -1 || true)
    [ -n "$n" ] || n=$(grep -a -oP '^#\K\d+' "$work/$target.log" | tail -1 || true)
    edges=$(grep -a -oP ' cov: \K\d+' "$work/$target.log" | tail -1 || true)
    printf '%s\t%s\t%s\n' "$target" "${n:-0}" "$(date -u +%FT%TZ)" >>"$work/executions.tsv"
    total=$(awk -F'\t' -v t="$target" '$1 == t { n += $2 } END { printf "%d", n }' "$work/executions.tsv")
    echo "fuzz: $target: ${n:-0} executions in $seconds s, ${edges:-?} edges; $total executions so far"
    if [ $code -ne 0 ]; then
        found=1
        echo "fuzz: $target: FOUND something, see $work/$target.log:"
        grep -a -E 'panicked at|^ALARM|^SUMMARY|Test unit written' -A2 "$work/$target.log" | head -20
    fi
done
awk -F'\t' '{ n += $2 } END { printf "fuzz: %d executions in all\n", n }' "$work/executions.tsv" 2>/dev/null || true
exit $found
