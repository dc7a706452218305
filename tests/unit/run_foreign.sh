#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds common/ and its tests for another kind of machine and runs them there, with foreign/cmocka.h
# in place of cmocka. The first compiler whose programs run here is taken; exit 77: there is none.
# Usage: run_foreign.sh SOURCE_ROOT BUILD_ROOT EMULATOR "COMPILER WORDS"...   EMULATOR may be empty
set -euo pipefail

root=$1
build=$2
emulator=()
[[ -z $3 ]] || emulator=("$3")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

makes_programs() { # makes_programs COMPILER...: that run here
    "$@" -o "$dir/probe" "$dir/probe.c" 2>/dev/null && "${emulator[@]}" "$dir/probe" 2>/dev/null
}

echo 'int main(void) { return 0; }' >"$dir/probe.c"
compiler=()
for words in "${@:4}"; do
    read -ra compiler <<<"$words"
    ! makes_programs "${compiler[@]}" || break
    echo "$words: no program of it runs here ${3:+with $3 }(see scripts/install-deps --lint)"
    compiler=()
done
[[ ${#compiler[@]} -gt 0 ]] || exit 77

tests=(wire frame scheme utf8 escape protocol worker_protocol golden alloc log)
# These are about the kernel, which an emulator has only half of.
[[ ${#emulator[@]} -gt 0 ]] || tests+=(secret paths harden)

flags=(-std=gnu17 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Werror -Wno-missing-field-initializers
    -I"$root/tests/unit/foreign" -I"$root" -I"$build" -I"$root/tests/unit")
objects=()
for source in "$root"/common/*.c "$root"/tests/unit/{message_checks,message_table,golden_frames}.c; do
    object=$dir/$(basename "$source" .c).o
    "${compiler[@]}" "${flags[@]}" -c -o "$object" "$source"
    objects+=("$object")
done
wraps=()
for symbol in malloc calloc realloc reallocarray strdup mmap mmap64; do
    wraps+=("-Wl,--wrap=$symbol")
done

status=0
for name in "${tests[@]}"; do
    extra=()
    [[ $name != alloc ]] || extra=("$root/tests/unit/alloc_fail.c" "${wraps[@]}")
    "${compiler[@]}" "${flags[@]}" -o "$dir/$name" "$root/tests/unit/test_$name.c" "${extra[@]}" \
        "${objects[@]}"
    GOLDEN_DIR=$root/tests/unit/golden "${emulator[@]}" "$dir/$name" || status=1
done
exit "$status"
