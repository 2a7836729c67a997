#!/usr/bin/env bash
# Asks a public list of vulnerabilities about every package of requirements.lock, and leaves a bill of materials
# (CycloneDX) in var/sbom.json. pip-audit has an environment of its own: nothing of it gets into the product's.
# Exit 0: nothing is known; 1: something is; 2: it could not be asked.
set -euo pipefail
cd "$(dirname "$0")/.."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
here=.venv-audit
version=2.10.1

cannot() { echo "The audit could not be made: $*" >&2; exit 2; }

if [ ! -x "$here/bin/pip-audit" ]; then
    { python3 -m venv "$here" && "$here/bin/python" -m pip install --quiet "pip-audit==$version"; } >/dev/null 2>&1 || {
        rm -rf "$here"
        cannot "pip-audit cannot be installed here (is there a network?)."
    }
fi
mkdir -p var
said=$(mktemp)
trap 'rm -f "$said"' EXIT
# --strict: a package the list was not asked about, or does not know, must not pass for one nothing is known against.
audit() {
    "$here/bin/pip-audit" --strict --progress-spinner off --disable-pip --require-hashes --requirement requirements.lock "$@"
}
if audit --format cyclonedx-json --output var/sbom.json >/dev/null 2>"$said"; then
    echo "Nothing is known against what requirements.lock pins. var/sbom.json has the bill of materials."
elif grep -qE "^Found [0-9]+ known vulnerabilit" "$said"; then
    audit >&2 || true
    exit 1
else
    cannot "$(tail -n 1 "$said")"
fi
