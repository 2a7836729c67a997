"""Intents in the file of `loadconfig` and `dumpconfig`."""

import pytest

from plugins.intents import services
from plugins.models import Intent
from routing.configuration import dump, load
from routing.documents import ConfigurationError

FILE = """intents:
- name: refund
  description: Wants ${WHAT}
  utterances: [我要退款, "a $${dollar} back: please", '- not a list']
- {name: old, enabled: false, utterances: []}
"""


@pytest.fixture(autouse=True)
def no_worker(monkeypatch):
    monkeypatch.setattr("plugins.tasks.train_intents.apply_async", lambda *_, **__: None)


def apply(tenant, text):
    return str(load(text, tenant=tenant, environ={"WHAT": "money"}))


def stored(tenant):
    rows = services.intents_of(tenant.pk)
    return {row.name: (row.description, row.examples, row.enabled) for row in rows}


def test_a_file_is_all_of_a_tenants_intents(cast):
    services.save_intent(intent=Intent(tenant=cast.acme, name="gone"))
    services.save_intent(intent=Intent(tenant=cast.globex, name="theirs"))
    assert apply(cast.acme, FILE) == "2 created, 1 updated, 0 unchanged, 0 rules removed"
    expected = {
        "refund": ("Wants money", ["我要退款", "a ${dollar} back: please", "- not a list"], True),
        "old": ("", [], False),
    }
    assert stored(cast.acme) == expected and list(stored(cast.globex)) == ["theirs"]
    dumped = dump(tenant=cast.acme)
    assert apply(cast.acme, dumped) == "0 created, 0 updated, 2 unchanged, 0 rules removed"
    assert stored(cast.acme) == expected
    apply(cast.acme, "routing_rules: []")
    assert stored(cast.acme) == expected
    apply(cast.acme, "intents: []")
    assert stored(cast.acme) == {} and "intents" not in dump(tenant=cast.acme)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("intents: 7", "1:10: expected a list"),
        ("intents:\n- {utterances: []}", "2:3: an intent needs a name"),
        ("intents:\n- {name: a}\n- {name: a}", "3:10: 'a' is there twice"),
        ("intents:\n- {nmae: a}", "2:4: unknown key 'nmae'"),
        ("intents:\n- {name: a, utterances: b}", "2:25: expected a list"),
        ("intents:\n- {name: two words}", "2:3: intents: two words: A name is"),
    ],
)
def test_it_says_where_a_file_is_wrong_and_changes_nothing(cast, text, place):
    services.save_intent(intent=Intent(tenant=cast.acme, name="kept"))
    with pytest.raises(ConfigurationError) as refused:
        apply(cast.acme, text)
    assert str(refused.value).startswith(place)
    assert list(stored(cast.acme)) == ["kept"]


def test_when_a_text_is_none_of_them_is_in_the_file_too(cast):
    def found():
        row = services.settings_of(cast.acme.pk)
        return row.threshold, row.outside.splitlines()

    assert "intent_settings" not in dump(tenant=cast.acme)
    text = "intent_settings:\n- threshold: 0.25\n  outside: ['is my ${WHAT} ill', 我的狗病了]\n"
    assert apply(cast.acme, text).startswith("1 created")
    assert found() == (0.25, ["is my money ill", "我的狗病了"])
    assert apply(cast.acme, dump(tenant=cast.acme)) == "0 created, 0 updated, 1 unchanged, 0 rules removed"
    assert apply(cast.acme, "intent_settings:\n- {threshold: 0}").startswith("0 created, 1 updated")
    assert found() == (0.0, []) and "threshold: 0.0" in dump(tenant=cast.acme)
    apply(cast.acme, "intents: []")
    assert found() == (0.0, [])
    apply(cast.acme, "intent_settings: []")
    assert found() == (None, []) and services.settings_of(cast.globex.pk).threshold is None


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("intent_settings: {threshold: 1}", "1:18: expected a list"),
        ("intent_settings:\n- {threshold: 1}\n- {threshold: 1}", "3:3: intent settings are there once"),
        ("intent_settings:\n- {threshold: 2}", "2:15: "),
        ("intent_settings:\n- {threshold: high}", "2:15: expected a number"),
        ("intent_settings:\n- {outside: [%s]}" % ("x" * 501), "2:13: "),
    ],
)
def test_it_says_where_settings_are_wrong(cast, text, place):
    with pytest.raises(ConfigurationError) as refused:
        apply(cast.acme, text)
    assert str(refused.value).startswith(place)


def test_the_platform_has_no_intents(db):
    with pytest.raises(ConfigurationError, match="unknown key 'intents'"):
        apply(None, "intents: []")
