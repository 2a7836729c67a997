"""No process starts with a secret that others know, outside of DEBUG."""

from __future__ import annotations

import base64
import json
import os
import secrets
import subprocess
import sys
from types import SimpleNamespace

import pytest
from celery.signals import beat_init
from django.core.management import get_commands, load_command_class
from django.core.management.base import ALL_CHECKS, SystemCheckError

from clawdbot_site import databases, objects
from clawdbot_site.celery import _refuse
from clawdbot_site.known_secrets import guessable, problems
from tenants.token_keys import TokenKeys
from tests.product.running import ROOT

NODE = "redis://:changeme@valkey:6379"


def stored(secret, endpoint="http://objects:9000"):
    keys = {"access_key": "app", "secret_key": secret}
    return {"default": objects.storage("s3://bucket", None, endpoint=endpoint, region="", **keys)}


def having(**changes):
    """What is right, but for `changes`."""
    good = {
        "SECRET_KEY": secrets.token_urlsafe(64),
        "SECRET_KEY_FALLBACKS": [secrets.token_urlsafe(64)],
        "MASTER_KEY": ",".join([secrets.token_urlsafe(32), secrets.token_urlsafe(32)]),
        "JWT_KEYS": TokenKeys([secrets.token_urlsafe(32)], own=True),
        "SIGNING_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "METRICS_TOKEN": "",
        "DATABASES": {
            "default": databases.sql("", "postgresql://app:fi9Gd8xT@db/app"),
            "journal": databases.sql("", "sqlite:///x"),
        },
        "JOURNAL_WRITER": None,
        "VALKEY_NODES": ["redis://:uX6rq02J@valkey:6379"],
        "BROKER_URL": "amqp://app:uX6rq02J@rabbit//",
        "CHANNEL_URL": "unix:///run/valkey.sock?db=2",
        "CACHE_URL": "redis://valkey:6379/3",
        "STORAGES": stored("uX6rq02J"),
    }
    return SimpleNamespace(**(good | changes))


def test_it_finds_nothing_wrong_with_random_secrets():
    assert problems(having()) == []
    assert problems(having(METRICS_TOKEN=secrets.token_urlsafe(12))) == []


def test_what_is_made_on_first_use_is_never_refused():
    assert not any(guessable(secrets.token_urlsafe(length)) for length in (32, 64) for _ in range(20_000))


@pytest.mark.parametrize(
    ("changes", "number", "name"),
    [
        ({"SECRET_KEY": "Zu4-kQ9x"}, 1, "SECRET_KEY"),
        ({"SECRET_KEY": "Change-Me-" + "x7Kq2" * 10}, 1, "SECRET_KEY"),
        ({"SECRET_KEY": "django-insecure-" + "x7Kq2" * 10}, 1, "SECRET_KEY"),
        ({"SECRET_KEY": "a" * 64}, 1, "SECRET_KEY"),
        ({"SECRET_KEY": "your_secret_key_goes_here_and_is_long_enough"}, 1, "SECRET_KEY"),
        ({"SECRET_KEY": "${SECRET_KEY}" + "x7Kq2" * 10}, 1, "SECRET_KEY"),
        ({"MASTER_KEY": "q8Zr-Lw3" * 5 + ",changeme"}, 2, "MASTER_KEY"),
        ({"SECRET_KEY_FALLBACKS": ["secret" * 10]}, 5, "SECRET_KEY_FALLBACKS"),
        ({"JWT_KEYS": TokenKeys(["jwt"], own=True)}, 6, "JWT_KEY"),
        ({"SIGNING_KEY": base64.b64encode(bytes(32)).decode()}, 7, "SIGNING_KEY"),
        ({"SIGNING_KEY": base64.b64encode(bytes(range(32))).decode()}, 7, "SIGNING_KEY"),
        ({"SIGNING_KEY": base64.b64encode(b"changeme-changeme-changeme-12345").decode()}, 7, "SIGNING_KEY"),
        ({"METRICS_TOKEN": "metrics"}, 8, "METRICS_TOKEN"),
        ({"METRICS_TOKEN": "changeme-changeme-changeme"}, 8, "METRICS_TOKEN"),
        ({"VALKEY_NODES": [NODE]}, 9, "REDIS_HOST"),
        ({"CACHE_URL": NODE}, 9, "CACHE_URL"),
        ({"BROKER_URL": "amqp://guest:guest@rabbit:5672//"}, 9, "BROKER_URL"),
        ({"JOURNAL_WRITER": databases.sql("", "postgresql://w:writer-Changeme@db/x")}, None, ""),
        ({"JOURNAL_WRITER": databases.sql("", "postgresql://w:change%2Dme@db/x")}, 9, "JOURNAL_WRITER_URL"),
        ({"JOURNAL_WRITER": databases.sql("", "postgresql://w:q8ZrLw3x@db/x?password=postgres")}, 9, "JOURNAL_WRITER"),
        ({"JOURNAL_WRITER": databases.sql("", "postgresql:///x?host=db&password=postgres")}, 9, "JOURNAL_WRITER_URL"),
        ({"JOURNAL_WRITER": databases.sql("", "postgresql://ledger:ledger@db/x")}, 9, "JOURNAL_WRITER_URL"),
        ({"BROKER_URL": "amqp://app:uX6rq02J@one//;amqp://guest:guest@two//"}, 9, "BROKER_URL"),
        ({"CACHE_URL": "redis://valkey:6379/3?password=changeme"}, 9, "CACHE_URL"),
        ({"STORAGES": stored("minioadmin")}, 9, "OBJECT_STORE_SECRET_KEY"),
        ({"STORAGES": stored("app")}, 9, "OBJECT_STORE_SECRET_KEY"),
        ({"STORAGES": stored("minioadmin", "http://127.0.0.1:9000")}, None, ""),
        ({"STORAGES": stored("minioadmin", "")}, None, ""),
    ],
    ids=range(28),
)
def test_it_names_what_is_well_known_and_never_says_it(changes, number, name):
    found = problems(having(**changes))
    assert [each.number for each in found] == ([number] if number else [])
    for each in found:
        assert each.text.startswith(f"{name}")
        assert not any(isinstance(value, str) and value in each.text for value in changes.values())
        assert "changeme" not in each.text.lower()


@pytest.mark.parametrize("password", ["postgres", "clawdbot", "password", "Admin", "example", "changeme", "secret123"])
def test_it_refuses_the_passwords_that_images_and_examples_come_with(password):
    for host, refused in (("db", True), ("10.1.2.3", True), ("127.0.0.1", False), ("localhost", False)):
        found = databases.sql("", f"postgresql://clawdbot:{password}@{host}/clawdbot")
        told = problems(having(DATABASES={"default": found, "journal": found}))
        assert [each.number for each in told] == ([9, 9] if refused else [])


def test_it_refuses_one_secret_for_two_purposes():
    key = secrets.token_urlsafe(48)
    seed = base64.b64encode(secrets.token_bytes(32)).decode()
    for changes in (
        {"SECRET_KEY": key, "MASTER_KEY": key},
        {"SECRET_KEY": key, "MASTER_KEY": f"{secrets.token_urlsafe(32)},{key}"},
        {"SECRET_KEY": key, "JWT_KEYS": TokenKeys([key], own=True)},
        {"JWT_KEYS": TokenKeys([secrets.token_urlsafe(32), key], own=True), "METRICS_TOKEN": key},
        {"MASTER_KEY": seed, "SIGNING_KEY": seed},
    ):
        assert [each.number for each in problems(having(**changes))] == [3], changes
    assert problems(having(SECRET_KEY=key, JWT_KEYS=TokenKeys([key]))) == []  # no JWT_KEY: tokens are SECRET_KEY's


def started(tmp_path, *command, **environment):
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    settings = {"ENV_FILE": "", "VAR_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "clawdbot_site.settings"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**kept, **settings, **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.mark.parametrize("name", ["webserver", "grpcserver", "sequencer", "publisher", "migrate", "rotatekeys"])
def test_no_command_starts_with_a_default_secret(settings, name):
    """What `execute` does before anything else."""
    settings.SECRET_KEY = "changeme-" + "x7Kq2" * 10
    command = load_command_class(get_commands()[name], name)
    assert command.requires_system_checks == ALL_CHECKS
    with pytest.raises(SystemCheckError, match="SECRET_KEY is short or well known"):
        command.check(tags=["clawdbot"])


def test_no_worker_of_celerys_starts_with_a_default_secret(tmp_path):
    command = ("-m", "celery", "-A", "clawdbot_site", "worker", "--pool", "solo")
    told = started(tmp_path, *command, SECRET_KEY="changeme-" + "x7Kq2" * 10)
    assert told.returncode == 1, told.stdout + told.stderr
    assert "SECRET_KEY is short or well known" in told.stderr
    assert "Traceback" not in told.stderr
    assert any(receiver() is _refuse for _, receiver in beat_init.receivers)


PROGRAM = """
import django, json; django.setup()
from django.conf import settings
from django.core.management import call_command
call_command("check", deploy=True)
names = ("SESSION_COOKIE_NAME", "CSRF_COOKIE_NAME", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE",
         "CSRF_TRUSTED_ORIGINS", "SECURE_HSTS_SECONDS", "SESSION_COOKIE_HTTPONLY")
print(json.dumps({name: getattr(settings, name) for name in names}))
"""


def test_no_secret_of_the_settings_is_shown_in_a_log_line(tmp_path):
    """Each key of a list too, wherever it stands alone."""
    names = ("SECRET_KEY", "SECRET_KEY_FALLBACKS", "JWT_KEY", "MASTER_KEY", "SIGNING_KEY", "METRICS_TOKEN", "API_KEY",
             "EMAIL_HOST_PASSWORD", "OIDC_CLIENT_SECRET", "REDIS_PASSWORD", "OBJECT_STORE_SECRET_KEY")  # fmt: skip
    lists = {"SECRET_KEY_FALLBACKS", "JWT_KEY", "MASTER_KEY"}
    values = {name: [secrets.token_urlsafe(32) for _ in range(2 if name in lists else 1)] for name in names}
    program = "import json; from clawdbot_site.settings import LOGGING as said; print(json.dumps(said))"
    given = {name: ",".join(parts) for name, parts in values.items()}
    told = started(tmp_path, "-c", program, **given)
    hidden = json.loads(told.stdout)["formatters"]["line"]["secrets"]
    assert [name for name, parts in values.items() if not set(parts) <= set(hidden)] == []


def test_the_settings_of_a_production_are_clean(tmp_path):
    """All that `check --deploy` says is that servers are away, which nobody has started here."""
    production = {"PUBLIC_URL": "https://ai.acme.example/x", "ALLOWED_HOSTS": "ai.acme.example"}
    production["TRUSTED_PROXIES"] = "10.0.0.1"
    told = started(tmp_path, "-c", PROGRAM, **production)
    warned = {line.split("(")[1].split(")")[0] for line in told.stderr.splitlines() if line.startswith("?: (")}
    assert warned == {"clawdbot.W010"}, told.stderr
    assert told.returncode == 0, told.stdout + told.stderr
    assert json.loads(told.stdout.splitlines()[-1]) == {
        "SESSION_COOKIE_NAME": "__Host-sessionid",
        "CSRF_COOKIE_NAME": "__Host-csrftoken",
        "SESSION_COOKIE_SECURE": True,
        "CSRF_COOKIE_SECURE": True,
        "CSRF_TRUSTED_ORIGINS": ["https://ai.acme.example"],
        "SECURE_HSTS_SECONDS": 31_536_000,
        "SESSION_COOKIE_HTTPONLY": True,
    }
