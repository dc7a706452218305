#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The systemd units as they are installed: systemd reads them without a complaint, the system's unit
# is exposed by at most 1.0 and the sandboxed user unit by 1.5 (systemd-analyze security), sysusers and
# tmpfiles make what the units need. Skipped where there is no systemd-analyze.
set -euo pipefail
build=${MTLS_BUILD_ROOT:?}

if ! command -v systemd-analyze >/dev/null; then
    echo "skipped: no systemd-analyze"
    exit 77
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
stage=$dir/stage
export XDG_RUNTIME_DIR=$dir/run
mkdir -m 700 "$XDG_RUNTIME_DIR"

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# The units are tested wherever the build's prefix is; those of /usr/local are looked for like /usr's.
meson install -C "$build" --no-rebuild --quiet --destdir "$stage" >"$dir/install.log" 2>&1 ||
    fail "meson install: $(tail -n 5 "$dir/install.log")"
units=$(dirname "$(find "$stage" -path '*/systemd/system/mtls-agent.service')")
prefix=${units%/lib/systemd/system}
[[ -x $prefix/bin/mtls-agent ]] || fail "the units are not below the prefix that has the programs"

# systemd looks for the programs of a unit in the real root: a copy names the staged ones.
for manager in system user; do
    mkdir "$dir/$manager"
    for unit in mtls-agent.service mtls-agent.socket; do
        sed "s#^ExecStart=${prefix#"$stage"}/#ExecStart=$prefix/#" "$prefix/lib/systemd/$manager/$unit" \
            >"$dir/$manager/$unit"
    done
    grep -q "^ExecStart=$prefix/bin/mtls-agent" "$dir/$manager/mtls-agent.service" ||
        fail "$manager: ExecStart= is not the installed program"
    complaints=$(systemd-analyze verify "--$manager" --man=no --recursive-errors=no \
        "$dir/$manager/mtls-agent.service" "$dir/$manager/mtls-agent.socket" 2>&1) || true
    [[ -z $complaints ]] || fail "systemd-analyze verify --$manager: $complaints"
    echo "ok: verify --$manager"
done

# A check that finds nothing must be able to find something.
sed 's/^WatchdogSec=/WatchDogSecs=/' "$dir/system/mtls-agent.service" >"$dir/mtls-broken.service"
complaints=$(systemd-analyze verify --man=no --recursive-errors=no "$dir/mtls-broken.service" 2>&1) || true
[[ $complaints == *WatchDogSecs* ]] ||
    fail "systemd-analyze verify did not see a misspelt key"

exposure() { # exposure TENTHS UNIT
    systemd-analyze security --offline=true --no-pager --threshold="$1" "$2" >"$dir/security" 2>&1 || {
        cat "$dir/security" >&2
        fail "$2 is exposed by more than $1 tenths"
    }
    tail -n 1 "$dir/security"
}
exposure 10 "$dir/system/mtls-agent.service"
mkdir "$dir/sandboxed"
{
    cat "$dir/user/mtls-agent.service"
    # a drop-in is read as more of the same section
    grep -v '^#' "$(find "$stage" -name sandbox.conf)"
} >"$dir/sandboxed/mtls-agent.service"
exposure 15 "$dir/sandboxed/mtls-agent.service"

! grep -q '^PrivateUsers=' "$dir/system/mtls-agent.service" ||
    fail "the system's unit sets PrivateUsers=: every foreign uid would look like one"

# The agent and its filters on the buses, whose sockets are files: Unix sockets, and nothing that hides /run.
for manager in system user; do
    unit=$dir/$manager/mtls-agent.service
    grep -q '^RestrictAddressFamilies=.*\<AF_UNIX\>' "$unit" || fail "$manager: no Unix sockets, so no bus"
    ! grep -qE '^(InaccessiblePaths|TemporaryFileSystem|PrivateBus|RootDirectory)=.*' "$unit" ||
        fail "$manager: the sockets of the buses may be hidden"
done

mkdir -p "$stage/etc"
systemd-sysusers --root="$stage" "$prefix/lib/sysusers.d/mtls-agent.conf" >"$dir/sysusers.log" 2>&1 ||
    fail "systemd-sysusers: $(cat "$dir/sysusers.log")"
grep -q '^mtls-agent:.*:/var/lib/mtls-agent:' "$stage/etc/passwd" || fail "sysusers made no user"
grep -q '^mtls-agent:' "$stage/etc/group" || fail "sysusers made no group"
echo "ok: sysusers"

# only root can give directories away
if [[ $EUID -eq 0 ]]; then
    systemd-tmpfiles --root="$stage" --create "$prefix/lib/tmpfiles.d/mtls-agent.conf"
    uid=$(awk -F: '$1 == "mtls-agent" { print $3 }' "$stage/etc/passwd")
    [[ $(stat -c '%a %u' "$stage/var/lib/mtls-agent") == "700 $uid" ]] || fail "tmpfiles: /var/lib/mtls-agent"
    [[ -n $(find "$stage" -type d -path '*etc/mtls-agent/agent.conf.d' -perm 755) ]] || fail "tmpfiles: agent.conf.d"
    [[ -n $(find "$stage" -type f -path '*etc/mtls-agent/system.conf' -perm 644) ]] || fail "tmpfiles: system.conf"
    echo "ok: tmpfiles"
fi
