"""A plugin's settings as a form: whatever its types allow goes through the form unchanged, and nothing else does."""

from __future__ import annotations

import enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from access.console.setting_fields import settings_of
from access.console.setting_forms import SettingsForm
from plugins import registry
from plugins.base import PluginBase, PluginSettings
from plugins.settings_types import LongText, Secret
from tests.access.console.screens import NAUGHTY


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


class Server(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    host: str
    port: Annotated[int, Meta(ge=1, le=65535)] = 443
    tags: list[str] = []


class EverySettings(PluginSettings):
    name: Annotated[str, Meta(max_length=20, description="Whose name it is.", title="Name of it")] = "x"
    note: LongText = ""
    password: Secret = ""
    count: Annotated[int, Meta(ge=0, le=10)] = 3
    ratio: Annotated[float, Meta(ge=0, le=1)] = 0.5
    on: bool = True
    maybe: int | None = None
    level: Level = Level.LOW
    mode: Literal["a", "b"] = "a"
    words: list[str] = []
    servers: list[Server] = []
    table: dict[str, int] = {}


class Every(PluginBase):
    name = "every"
    Settings = EverySettings


def data_of(form: SettingsForm) -> dict[str, Any]:
    """What a browser would send of an untouched form."""
    sent: dict[str, Any] = {}

    def take(one: Any) -> None:
        for field in one:
            value = field.value()
            if field.field.__class__.__name__ == "BooleanField":
                if value:
                    sent[field.html_name] = "on"
            elif value is not None:
                sent[field.html_name] = value

    take(form.form)
    for _setting, rows in form.rows.values():
        take(rows.management_form)
        for row in rows.forms:
            take(row)
    return {name: value for name, value in sent.items() if value is not None}


def through(plugin: type[PluginBase], stored: dict[str, Any], **changed: Any) -> SettingsForm:
    return SettingsForm(plugin, stored, {**data_of(SettingsForm(plugin, stored)), **changed})


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=20)
LINE = TEXT.map(str.strip).filter(bool)
EVERY = st.fixed_dictionaries(
    {},
    optional={
        "name": TEXT,
        "note": TEXT,
        "count": st.integers(0, 10),
        "ratio": st.floats(0, 1),
        "on": st.booleans(),
        "maybe": st.one_of(st.none(), st.integers(-5, 5)),
        "level": st.sampled_from(["low", "high"]),
        "mode": st.sampled_from(["a", "b"]),
        "words": st.lists(LINE, max_size=3),
        "servers": st.lists(
            st.fixed_dictionaries({"host": LINE}, optional={"port": st.integers(1, 65535), "tags": st.lists(LINE)}),
            max_size=3,
        ),
        "table": st.dictionaries(LINE, st.integers(0, 9), max_size=3),
    },
)


@given(EVERY)
@settings(max_examples=25)
def test_an_untouched_form_changes_nothing(stored: dict[str, Any]) -> None:
    form = through(Every, stored)
    assert form.is_valid(), (form.form.errors, [rows.errors for _, rows in form.rows.values()])
    assert registry.read_settings(Every, form.given()) == registry.read_settings(Every, stored)


@pytest.mark.parametrize("name", registry.names())
def test_every_plugin_that_comes_with_the_product_has_a_form(name: str) -> None:
    plugin = registry.get(name)
    needed = {field.name for field in msgspec.structs.fields(plugin.Settings) if field.required}
    form = through(plugin, {})
    assert form.is_valid() is (not needed) and set(form.form.errors) == needed
    if not needed:
        assert registry.read_settings(plugin, form.given()) == plugin.Settings()
    assert {each.name for each in settings_of(plugin.Settings)} == set(form.form.fields) | set(form.rows)


@given(
    st.dictionaries(
        st.sampled_from(
            ["settings-name", "settings-count", "settings-ratio", "settings-level", "settings-table", "settings-maybe",
             "settings-servers-0-host", "settings-servers-0-port", "settings-servers-TOTAL_FORMS", "settings-words"]
        ),
        st.one_of(st.text(max_size=30), st.sampled_from(["-1", "1e400", "nan", "{", "[]", "null", NAUGHTY, "999999"])),
    )
)  # fmt: skip
@settings(max_examples=40)
def test_whatever_is_sent_is_refused_at_a_field_or_right(sent: dict[str, str]) -> None:
    form = through(Every, {"servers": [{"host": "a"}]}, **sent)
    if form.is_valid():
        registry.read_settings(Every, form.given())
    else:
        told = [*form.form.errors.values()]
        for _setting, rows in form.rows.values():
            told += [each for each in rows.errors if each]
            told += [rows.non_form_errors()] if rows.non_form_errors() else []
        assert told


@pytest.mark.parametrize(
    ("field", "value"),
    [("count", "11"), ("count", "-1"), ("count", "x"), ("ratio", "2"), ("level", '"middle"'), ("mode", "c"),
     ("name", "y" * 21), ("table", "{"), ("table", '{"a": "b"}'), ("table", "[]"), ("maybe", "1.5"),
     ("maybe", "9" * 30), ("maybe", "-" + "9" * 30), ("table", "[" * 3_000), ("table", '{"a": NaN}')],
)  # fmt: skip
def test_it_says_at_the_field_what_is_wrong(field: str, value: str) -> None:
    form = through(Every, {}, **{f"settings-{field}": value})
    assert not form.is_valid() and list(form.form.errors) == [field]


def test_it_says_in_the_row_what_is_wrong() -> None:
    stored = {"servers": [{"host": "a"}, {"host": "b"}]}
    form = through(Every, stored, **{"settings-servers-1-port": "70000"})
    assert not form.is_valid()
    assert [list(each) for each in form.rows["servers"][1].errors][:2] == [[], ["port"]]
    form = through(Every, stored, **{"settings-servers-0-host": ""})
    assert not form.is_valid() and list(form.rows["servers"][1].errors[0]) == ["host"]


def test_rows_are_added_and_removed() -> None:
    stored = {"servers": [{"host": "a"}, {"host": "b"}]}
    form = through(Every, stored, **{"settings-servers-0-DELETE": "on", "settings-servers-2-host": "c"})
    assert form.is_valid() and [each["host"] for each in form.given()["servers"]] == ["b", "c"]


def test_a_secret_is_never_shown_and_stays_where_nothing_is_written() -> None:
    stored = {"password": "very secret"}
    form = SettingsForm(Every, stored)
    assert "very secret" not in str(form.form)
    assert through(Every, stored).is_valid()
    for changed, kept in (({}, "very secret"), ({"settings-password": "new"}, "new")):
        form = through(Every, stored, **changed)
        assert form.is_valid() and form.given()["password"] == kept
    form = through(Every, stored, **{"settings-remove_password": "on"})
    assert form.is_valid() and "password" not in form.given()


def test_labels_and_help_come_from_the_types() -> None:
    field = SettingsForm(Every, {}).form.fields["name"]
    assert (str(field.label), str(field.help_text)) == ("Name of it", "Whose name it is.")


def test_texts_are_inert() -> None:
    stored = {"name": NAUGHTY[:20], "note": NAUGHTY, "servers": [{"host": NAUGHTY, "tags": [NAUGHTY]}]}
    form = SettingsForm(Every, stored)
    shown = str(form.form) + "".join(str(row) for row in form.rows["servers"][1].forms)
    assert "<script>alert(1)" not in shown and "<img src=x" not in shown
