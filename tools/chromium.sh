#!/usr/bin/env bash
# The browser that tests drive: Debian's Chromium. Installs it where that is allowed, else says how.
set -euo pipefail
command -v chromium >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing chromium …"
    { apt-get install -y -q --no-install-recommends chromium || { apt-get update -q && apt-get install -y -q --no-install-recommends chromium; }; } >/dev/null && exit 0
fi
echo "The browser tests are skipped: there is no Chromium (Debian: apt-get install chromium)." >&2
