#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds common/ and its codec check for a 32-bit machine and runs it. Exit 77: gcc -m32 does not
# work here (Debian: package gcc-multilib).
# Usage: run_32bit.sh SOURCE_ROOT BUILD_ROOT
set -euo pipefail

root=$1
build=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

echo 'int main(void) { return 0; }' >"$dir/probe.c"
if ! gcc -m32 -o "$dir/probe" "$dir/probe.c" 2>/dev/null || ! "$dir/probe"; then
    echo "gcc -m32 does not work here: skipped"
    exit 77
fi

gcc -m32 -std=gnu17 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Werror \
    -I"$root" -I"$build" -I"$root/tests/unit" -o "$dir/check_32bit" \
    "$root"/common/*.c "$root/tests/unit/check_32bit.c" \
    "$root/tests/unit/golden_frames.c" "$root/tests/unit/message_table.c"
"$dir/check_32bit" "$root/tests/unit/golden"
