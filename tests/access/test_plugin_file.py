"""A tenant's plugins in the file of `loadconfig` and `dumpconfig`."""

from __future__ import annotations

from textwrap import dedent
from types import SimpleNamespace

import msgspec
import pytest
import yaml

from access.plugin_file import COLUMNS, KEYS
from plugins import registry
from plugins.base import PluginBase, PluginSettings
from plugins.models import PluginActivation
from plugins.settings_types import Secret
from routing.configuration import dump, load
from routing.documents import ConfigurationError


class Server(msgspec.Struct):
    host: str
    pin: Secret = ""


class Mailing(PluginBase):
    name = "mailing"

    class Settings(PluginSettings):
        word: str = ""
        pin: Secret = ""
        maybe: Secret | None = None
        servers: list[Server] = []
        limits: dict[str, float] = {}


@pytest.fixture(autouse=True)
def plugins():
    with registry.registered(Mailing):
        yield


def apply(text: str, tenant: object, **environ: str) -> str:
    return str(load(dedent(text), tenant=tenant, environ=environ))


def rows() -> list[tuple[object, ...]]:
    found = PluginActivation.objects.everywhere().order_by("tenant_id", "position")
    return [(row.tenant_id, row.plugin, row.enabled, row.required, row.timeout, row.settings) for row in found]


TWO = """
plugins:
  - {plugin: mailing, required: true, timeout: 2.5, settings: {word: "a ${B}", limits: {x: 1.5, y: 2}}}
  - {plugin: canned_answers}
"""


def test_it_makes_brings_in_line_and_switches_off(cast: SimpleNamespace) -> None:
    assert apply(TWO, cast.acme, B="b") == "2 created, 0 updated, 0 unchanged, 0 rules removed"
    settings = {"word": "a b", "limits": {"x": 1.5, "y": 2}}
    first, second = (1, "mailing", True, True, 2.5, settings), (1, "canned_answers", True, False, None, {})
    assert rows() == [first, second]
    assert apply(TWO, cast.acme, B="b").startswith("0 created, 0 updated, 2 unchanged")
    assert apply("plugins: [{plugin: canned_answers, enabled: no}]", cast.acme).startswith("0 created, 2 updated")
    assert rows() == [(1, "canned_answers", False, False, None, {}), (1, "mailing", False, True, 2.5, settings)]
    assert apply("routing_rules: []", cast.acme).startswith("0 created, 0 updated")
    assert apply("plugins: []", cast.globex).startswith("0 created, 0 updated")
    assert len(rows()) == 2


def test_a_dump_loads_back_to_the_same_and_holds_no_secret(cast: SimpleNamespace) -> None:
    settings = {
        "word": "${not a variable}", "pin": "hunter2", "maybe": "hunter3",
        "servers": [{"host": "a", "pin": "hunter4"}, {"host": "b"}], "limits": {"x": 1.5},
    }  # fmt: skip
    PluginActivation.objects.create(tenant=cast.acme, plugin="mailing", settings=settings, required=True, position=7)
    PluginActivation.objects.create(tenant=cast.acme, plugin="canned_answers", enabled=False, position=9)
    before = rows()
    text = dump(tenant=cast.acme)
    assert "hunter" not in text
    variables = {"MAILING_PIN": "hunter2", "MAILING_MAYBE": "hunter3", "MAILING_SERVERS_PIN": "hunter4"}
    assert all(f"${{{name}}}" in text for name in variables)
    load(text, tenant=cast.acme, environ=variables)
    assert rows() == before
    PluginActivation.objects.everywhere().delete()
    load(text, tenant=cast.acme, environ=variables)
    assert rows() == before
    assert "plugins" not in yaml.safe_load(dump(tenant=cast.globex))
    assert "plugins" not in yaml.safe_load(dump(tenant=None))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plugins: [{enabled: yes}]", "1:11: a plugin needs its name"),
        ("plugins: [{plugin: nothing}]", "1:20: plugin: There is no plugin 'nothing'"),
        ("plugins: [{plugin: mailing, settings: {word: 5}, nonsense: 1}]", "'nonsense'"),
        ("plugins: [{plugin: mailing, settings: {words: x}}]", "1:39: settings: Object contains unknown field `words`"),
        ("plugins: [{plugin: mailing, timeout: 0}]", "1:38: timeout"),
        ("plugins: [{plugin: mailing}, {plugin: mailing}]", "1:39: 'mailing' is there twice"),
        ("plugins: {plugin: mailing}", "expected a list"),
        ("plugins: [{plugin: mailing, settings: []}]", "expected a mapping"),
    ],
)
def test_it_says_where_a_file_is_wrong_and_changes_nothing(cast: SimpleNamespace, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        apply(text, cast.acme)
    assert said in str(refused.value)
    assert rows() == []


def test_the_platform_has_no_plugins_of_its_own(cast: SimpleNamespace) -> None:
    with pytest.raises(ConfigurationError, match="plugins"):
        apply(TWO, None, B="b")


def test_it_loads_every_column() -> None:
    columns = {field.name for field in PluginActivation._meta.concrete_fields}
    aside = {"id", "tenant", "created_at", "plugin", "position"}  # the last is the order
    sealed = {"sealed_settings": "settings"}
    assert {sealed.get(name, name) for name in columns - aside} == set(COLUMNS) == set(KEYS) - {"plugin"}
