#!/usr/bin/env bash
# The browser that tests drive: Debian's Chromium, and letters for Chinese pages. Installs them where that is allowed,
# else says how.
set -euo pipefail
here=$(dirname "$0")
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && ! [ -e /usr/share/fonts/truetype/wqy/wqy-microhei.ttc ]; then
    echo "Installing fonts-wqy-microhei …"
    { apt-get install -y -q --no-install-recommends fonts-wqy-microhei || { apt-get update -q && apt-get install -y -q --no-install-recommends fonts-wqy-microhei; }; } >/dev/null ||
        echo "Chinese pages show boxes: there is no font for them." >&2
fi
"$here/debian.sh" chromium chromium browser
