"""What services in containers of their own wait for, and what the first of them makes."""

import json

import pytest
from django.core.management import CommandError, call_command, get_commands
from django.db import OperationalError, connections
from django.db.migrations.recorder import MigrationRecorder

from clawdbot_site.serving import preparing
from routing.models import ModelInstance
from tenants import keys
from tenants.models import ApiKey, User

pytestmark = pytest.mark.django_db


def test_it_waits_until_somebody_has_made_the_tables(capsys):
    call_command("prepare", wait_only=True, seconds=0)
    assert capsys.readouterr().out == ""
    MigrationRecorder(connections["default"]).migration_qs.filter(app="routing").delete()
    with pytest.raises(CommandError, match="`default` lacks .* migrations"):
        call_command("prepare", wait_only=True, seconds=0)
    assert "Waiting: the database `default` lacks" in capsys.readouterr().out


def test_it_says_which_database_does_not_answer(monkeypatch):
    monkeypatch.setattr(preparing, "_unreachable", lambda: "the database `journal` does not answer (refused)")
    with pytest.raises(CommandError, match="Not within 0 s: the database `journal` does not answer"):
        call_command("prepare", seconds=0)


def test_it_says_in_one_line_that_a_table_is_in_use_for_too_long(monkeypatch):
    def in_use(*_: object, **__: object) -> None:
        raise OperationalError("canceling statement due to lock timeout\nLINE 1: …")

    monkeypatch.setattr(preparing, "call_command", in_use)
    with pytest.raises(CommandError) as refused:
        call_command("prepare")
    assert str(refused.value) == "The database `default` cannot be migrated: canceling statement due to lock timeout"


def test_it_migrates_by_the_products_own_command():
    """Which waits for no lock for long, and for its turn."""
    assert get_commands()["migrate"] == "clawdbot_site"


def test_it_makes_the_model_of_the_settings_and_keeps_it_in_step(settings, capsys):
    settings.MODEL_ENDPOINT, settings.API_KEY, settings.MODEL_TIMEOUT = "https://api.example.com/v1/chat", "k", 30
    call_command("prepare")
    settings.MODEL_TIMEOUT = 60
    call_command("prepare")
    [instance] = ModelInstance.objects.everywhere()
    assert (instance.endpoint, instance.timeout) == ("https://api.example.com/v1/chat", 60)


def test_it_says_in_one_line_that_the_endpoint_cannot_be_used(settings):
    settings.MODEL_ENDPOINT = "gopher://x"
    with pytest.raises(CommandError, match="MODEL_ENDPOINT cannot be used"):
        call_command("prepare")


def test_the_first_access_is_given_once(settings, capsys):
    settings.PUBLIC_URL = "https://clawdbot.example.com"
    call_command("firstaccess")
    access = json.loads(capsys.readouterr().out)
    assert access["base_url"] == "https://clawdbot.example.com"
    assert User.objects.get(username=access["admin_user"]).check_password(access["admin_password"])
    assert ApiKey.objects.everywhere().filter(digest=keys.digest(access["api_key"])).exists()
    with pytest.raises(CommandError, match="an administrator already"):
        call_command("firstaccess")
