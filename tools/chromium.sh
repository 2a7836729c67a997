#!/usr/bin/env bash
# The browser that tests drive: Debian's Chromium, and letters for Chinese pages. Installs them where that is allowed,
# else says how.
set -euo pipefail
install() { { apt-get install -y -q --no-install-recommends "$@" || { apt-get update -q && apt-get install -y -q --no-install-recommends "$@"; }; } >/dev/null; }
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! [ -e /usr/share/fonts/truetype/wqy/wqy-microhei.ttc ]; then
    echo "Installing fonts-wqy-microhei …"
    install fonts-wqy-microhei || echo "Chinese pages show boxes: there is no font for them." >&2
fi
command -v chromium >/dev/null && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing chromium …"
    install chromium && exit 0
fi
echo "The browser tests are skipped: there is no Chromium (Debian: apt-get install chromium)." >&2
