#!/usr/bin/env bash
# tools/debian.sh PACKAGE BINARY WHY: Debian's PACKAGE for tests that need BINARY. Installs it where that is allowed (root, apt),
# without starting the daemons it may bring; else says in one line what WHY's tests are skipped for. Never fails.
set -uo pipefail
package=$1 binary=$2 why=$3
PATH=$PATH:/usr/sbin:/sbin # where Debian puts servers
command -v "$binary" >/dev/null && exit 0

# invoke-rc.d asks /usr/sbin/policy-rc.d before it starts anything: "no" for the time of this install, then as it was before.
policy=/usr/sbin/policy-rc.d
shut() {
    kept=$(mktemp -d)
    [ -e $policy ] && cp -p $policy "$kept/policy-rc.d"
    printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy
}
reopen() { if [ -e "$kept/policy-rc.d" ]; then mv "$kept/policy-rc.d" $policy; else rm -f $policy; fi; rm -rf "$kept"; }
get() { DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 "$@" >/dev/null; }
install() { get install -y -q --no-install-recommends "$package" || { get update -q && get install -y -q --no-install-recommends "$package"; }; }

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    exec 9>/var/lock/clawdbot-debian.lock && flock 9 # two at once would take each other's "no" for the machine's own
    echo "Installing $package …"
    shut
    trap reopen EXIT
    install && command -v "$binary" >/dev/null && exit 0
fi
echo "The $why tests are skipped: there is no $binary (Debian: apt-get install $package)." >&2
