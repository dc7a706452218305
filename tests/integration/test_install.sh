#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What `meson install` puts where: every file of the design's table of names, with nothing in a shared
# object but its own symbols, hardened, and usable from a staging directory. A C program is built
# against it with pkg-config and run.
set -euo pipefail
build=${MTLS_BUILD_ROOT:?}

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
stage=$dir/stage

failures=0
check() { # check TEXT COMMAND...
    local text=$1
    shift
    if "$@"; then
        echo "ok: $text"
    else
        echo "FAILED: $text" >&2
        failures=$((failures + 1))
    fi
}

meson install -C "$build" --no-rebuild --quiet --destdir "$stage" >"$dir/install.log" 2>&1 || {
    tail -n 5 "$dir/install.log" >&2
    exit 1
}

option() {
    python3 - "$build/meson-info/intro-buildoptions.json" "$1" <<'END'
import json, sys

print(next(o["value"] for o in json.load(open(sys.argv[1])) if o["name"] == sys.argv[2]))
END
}
prefix=$(option prefix)
root=$stage$prefix
lib=$root/$(option libdir)
sanitize=$(option b_sanitize)

for file in bin/mtls-agent bin/mtls "$(option libexecdir)/mtls-agent/token-worker" \
    "$(option libexecdir)/mtls-agent/ask-pin" "$(option libexecdir)/mtls-agent/reader-watch"; do
    check "program $file" test -x "$root/$file"
done
for file in "$lib/libmtls-agent.so.0" "$lib/libmtls-agent.so" "$lib/pkgconfig/mtls-agent.pc" \
    "$root/include/mtls-agent.h" "$root/lib/systemd/user/mtls-agent.socket" \
    "$root/lib/systemd/user/mtls-agent.service" "$root/lib/systemd/system/mtls-agent.socket" \
    "$root/lib/systemd/system/mtls-agent.service" "$root/lib/sysusers.d/mtls-agent.conf" \
    "$root/lib/tmpfiles.d/mtls-agent.conf" "$root/share/polkit-1/rules.d/50-mtls-agent.rules"; do
    check "file ${file#"$stage"}" test -f "$file"
done
provider=$(find "$stage" -name mtls-agent.so -path '*/ossl-modules/*')
module_file=$stage$(pkg-config --variable=p11_module_configs p11-kit-1)/mtls-agent.module
check "p11-kit's file for the module, where p11-kit reads it" test -f "$module_file"
check "it names the module by the path that it is installed at" \
    grep -qxF "module: ${lib#"$stage"}/pkcs11/mtls-agent-pkcs11.so" "$module_file"
check "it keeps the module out of the agent's own processes" \
    grep -qx 'disable-in: mtls-agent, token-worker' "$module_file"
check "the provider in a directory of OpenSSL modules" test -n "$provider"

if command -v scdoc >/dev/null; then
    for page in man1/mtls.1 man1/mtls-agent.1 man5/mtls-agent.conf.5; do
        check "man page $page" test -f "$root/share/man/$page"
    done
fi
check "bash completion" test -f "$root/share/bash-completion/completions/mtls"
check "zsh completion" test -f "$root/share/zsh/site-functions/_mtls"

# The tree's own paths are of no use on another machine.
names_no_build_path() {
    local files
    files=$(grep -rIlF -- "$(cd "$build" && pwd)" "$stage") || true
    [[ -z $files ]] || { echo "$files" >&2 && false; }
}
check "no text file names the build directory" names_no_build_path

elf=("$root/bin/mtls-agent" "$root/bin/mtls" "$root/$(option libexecdir)/mtls-agent/token-worker"
    "$root/$(option libexecdir)/mtls-agent/ask-pin"
    "$root/$(option libexecdir)/mtls-agent/reader-watch" "$lib/libmtls-agent.so.0" "$provider"
    "$lib/mtls-agent/mtls-agent-crypto.so")
is_hardened() {
    local file=$1 headers dynamic
    headers=$(readelf --wide --file-header --program-headers "$file")
    dynamic=$(readelf --wide --dynamic "$file")
    grep -q 'Type:.*DYN' <<<"$headers" && grep -q GNU_RELRO <<<"$headers" &&
        grep -q 'GNU_STACK.*RW ' <<<"$headers" && grep -qE 'BIND_NOW|NOW' <<<"$dynamic" &&
        ! grep -qE 'RPATH|RUNPATH|TEXTREL' <<<"$dynamic"
}
for file in "${elf[@]}"; do
    check "hardened, no RPATH: ${file##*/}" is_hardened "$file"
done

exports_only() { # exports_only REGEX FILE
    local others
    others=$(nm --dynamic --defined-only --format=posix "$2" | awk '$2 != "A" { sub(/@.*/, "", $1); print $1 }' |
        grep -vE "$1") || true
    [[ -z $others ]] || { echo "exported as well: $others" >&2 && false; }
}
needs_only() { # needs_only REGEX FILE
    local others
    others=$(readelf --wide --dynamic "$2" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -vE "$1") || true
    [[ -z $others ]] || { echo "needed as well: $others" >&2 && false; }
}
check "libmtls-agent exports mtls_agent_* alone" exports_only '^mtls_agent_' "$lib/libmtls-agent.so.0"
check "the provider exports OSSL_provider_init alone" exports_only '^OSSL_provider_init$' "$provider"
check "the PKCS#11 module's part for libcrypto exports one function" \
    exports_only '^mtls_agent_module_crypto_0$' "$lib/mtls-agent/mtls-agent-crypto.so"
if [[ $sanitize == none ]]; then
    check "the provider needs libc and libcrypto alone" needs_only '^(libc|libcrypto)\.so' "$provider"
    check "the PKCS#11 module's part for libcrypto needs libc and libcrypto alone" \
        needs_only '^(libc|libcrypto)\.so' "$lib/mtls-agent/mtls-agent-crypto.so"
    check "the core loads neither libp11 nor libssl" \
        needs_only '^(lib(c|crypto|systemd|inih|p11-kit|seccomp)|ld-linux.*)\.so' "$root/bin/mtls-agent"
fi

export LD_LIBRARY_PATH=$lib
check "mtls-agent --version" test -n "$("$root/bin/mtls-agent" --version)"
check "mtls --version" test -n "$("$root/bin/mtls" --version)"

# A C program as the documentation shows it.
cat >"$dir/program.c" <<'END'
#include <mtls-agent.h>
#include <stdio.h>

int main(void)
{
    struct mtls_agent *agent = mtls_agent_new("/nonexistent/agent.sock");
    struct mtls_agent_keys *keys = NULL;
    struct mtls_agent_error error;

    if (!agent || mtls_agent_list(agent, NULL, &keys, &error) != MTLS_AGENT_E_NO_AGENT)
        return 1;
    printf("%s: %s\n", mtls_agent_version(), error.text);
    mtls_agent_free(agent);
    return 0;
}
END
builds_and_runs() {
    local flags
    export PKG_CONFIG_PATH=$lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$stage
    read -ra flags < <(pkg-config --cflags --libs mtls-agent)
    [[ $sanitize == none ]] || flags+=("-fsanitize=$sanitize")
    "${CC:-cc}" -Wall -Werror -o "$dir/program" "$dir/program.c" "${flags[@]}" && "$dir/program"
}
if command -v "${CC:-cc}" >/dev/null; then
    check "a C program builds with pkg-config and runs" builds_and_runs
fi

echo "$failures failed"
[[ $failures -eq 0 ]]
