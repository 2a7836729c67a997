"""The form of the plugin `language` shows its languages by name, in the language of whoever reads it."""

import pytest
from django.http import QueryDict
from django.utils.translation import override

from access.console.setting_fields import said
from access.console.setting_forms import SettingsForm
from plugins.builtin.language import Language, LanguageSettings
from plugins.languages.names import NAMES, USUAL


def sent(languages, **other):
    data = QueryDict(mutable=True)
    data.setlist("settings-languages", languages)
    data.update({"settings-confidence": "0.5", "settings-first": '"request"', "settings-default": "", **other})
    return SettingsForm(Language, {}, data)


def test_it_shows_every_language_by_name_and_the_usual_ones_chosen():
    form = SettingsForm(Language, {}).form
    field = form["languages"]
    assert {value for value, _name in field.field.choices} == set(NAMES)
    assert dict(field.field.choices)["fr"] == "French"
    assert set(field.value()) == set(USUAL)
    with override("zh-hans"):
        assert dict(SettingsForm(Language, {}).form["languages"].field.choices)["fr"] == "法语"


def test_it_takes_what_is_chosen():
    form = sent(["zh", "en", "ja"], **{"settings-default": "zh", "settings-confidence": "0.7"})
    assert form.is_valid()
    assert sorted(form.given()["languages"]) == ["en", "ja", "zh"]
    assert (form.given()["default"], form.given()["confidence"]) == ("zh", 0.7)


@pytest.mark.parametrize(
    ("languages", "other"),
    [(["zh", "tlh"], {}), (["zh"], {"settings-default": "tlh"}), (["zh"], {"settings-confidence": "2"})],
)
def test_it_refuses_what_the_plugin_does(languages, other):
    assert not sent(languages, **other).is_valid()


def test_its_names_are_translated():
    assert set(NAMES.values()) <= set(said(LanguageSettings))
