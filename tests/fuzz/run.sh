#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs every fuzzer of a build with -Dfuzz=true for a time each, as many at once as there are cores:
#   tests/fuzz/run.sh SECONDS BUILD_DIR [FUZZER...]
# Prints one line per fuzzer; the last line counts: N passed, N failed. The corpus grows in
# BUILD_DIR/tests/fuzz/corpus; an input that breaks something is kept in BUILD_DIR/tests/fuzz/found.
set -euo pipefail

if (($# < 2)); then
    sed -n '3,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
seconds=$1
kept=$(cd "$(dirname "$0")" && pwd)/corpus
build=$(cd "$2" && pwd)/tests/fuzz
shift 2

export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}

run_one() { # run_one FUZZER: one line on stdout, the fuzzer's own output in FUZZER.log
    local name=$1 log=$build/$1.log status=0
    local dirs=("$build/corpus/$name")
    mkdir -p "${dirs[0]}" "$build/found"
    for dir in "$build/seeds/$name" "$kept/$name"; do
        [[ ! -d $dir ]] || dirs+=("$dir")
    done
    "$build/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="$build/found/$name-" "${dirs[@]}" >"$log" 2>&1 || status=$?
    local runs covered
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    if ((status == 0)); then
        echo "ok      $name: ${runs:-0} runs, ${covered:-0} edges"
    else
        echo "FAILED  $name: exit status $status, see $log and $build/found"
    fi
}
export -f run_one
export seconds build kept

if (($# == 0)); then
    mapfile -t names < <(cd "$build" && find . -maxdepth 1 -name 'fuzz_*' -type f -executable \
        -printf '%f\n' | sort)
    set -- "${names[@]}"
fi
if (($# == 0)); then
    echo "no fuzzers in $build: configure with -Dfuzz=true" >&2
    echo "0 passed, 1 failed"
    exit 1
fi

printf '%s\n' "$@" | xargs -P "$(nproc)" -I NAME bash -c 'run_one NAME' | tee "$build/run.log"
failed=$(grep -c ^FAILED "$build/run.log" || true)
echo "$(($# - failed)) passed, $failed failed"
((failed == 0))
