"""From rows to what turns are taken for: learning, going live, and whose intents they are."""

from __future__ import annotations

import asyncio

import pytest
from django.core.exceptions import ValidationError

from engine.snapshots import Cell
from plugins.activations import compile_plugins
from plugins.chain import PluginChain
from plugins.intents import learning, live, services
from plugins.intents.live import LIVE, compile_intents
from plugins.models import Intent, IntentSettings, PluginActivation, TrainedIntents
from tests.cast import ACME, ALICE, CHARLIE
from tests.plugins.intents.examples import EXAMPLES
from tests.plugins.turns import pre


@pytest.fixture(autouse=True)
def no_worker(monkeypatch):
    """Nobody is told: tests learn by themselves. What was live before comes back."""
    told = []
    monkeypatch.setattr("plugins.tasks.train_intents.apply_async", lambda arguments, **_: told.append(*arguments))
    before = LIVE.value
    yield told
    LIVE.swap(before)


@pytest.fixture
def shop(cast):
    for name, texts in EXAMPLES.items():
        services.save_intent(intent=Intent(tenant=cast.acme, name=name, utterances="\n".join(texts)))
    return cast


def trained():
    return TrainedIntents.objects.for_tenant(ACME.id).get()


def live_chain():
    LIVE.swap(compile_intents(LIVE.value))
    return PluginChain(Cell(compile_plugins()))


def features(text, person=ALICE):
    return asyncio.run(pre(live_chain(), text, person)).features


def test_it_learns_once_what_changed(shop):
    assert learning.stale() == [ACME.id]
    assert learning.learn(ACME.id) is True
    row = trained()
    assert (row.revision, row.failed, row.report["utterances"]) == (row.wanted, "", 36)
    assert learning.stale() == [] and learning.learn(ACME.id) is False
    Intent.objects.for_tenant(ACME.id).get(name="refund").save()  # the same again
    IntentSettings.objects.create(tenant=shop.acme, threshold=0.9)  # not learnt from
    assert learning.stale() == []
    IntentSettings.objects.for_tenant(ACME.id).get().delete()
    Intent.objects.for_tenant(ACME.id).first().delete()
    assert learning.stale() == [ACME.id]


def test_turns_are_taken_for_the_intents_of_their_own_tenant(shop):
    learning.learn(ACME.id)
    found = features("how can i get a refund for this order")
    assert found["intent"] == "refund" and 0 < found["intent_score"] <= 1
    assert features("how can i get a refund for this order", CHARLIE) == {}
    elsewhere = features("how do you play the violin")
    assert "intent" not in elsewhere and elsewhere["intent_score"] < found["intent_score"]
    assert features("") == {}


def test_the_plugin_runs_where_intents_are_defined_unless_it_was_switched_off(shop):
    learning.learn(ACME.id)
    row = PluginActivation.objects.create(tenant=shop.acme, plugin="intent", enabled=False)
    assert features("how can i get a refund") == {}
    row.enabled = True
    row.save()
    assert features("how can i get a refund")["intent"] == "refund"
    row.delete()
    Intent.objects.for_tenant(ACME.id).delete()
    assert compile_plugins().tenants == {}


def test_the_threshold_is_live_without_learning(shop):
    learning.learn(ACME.id)
    before = compile_intents(LIVE.value)
    LIVE.swap(before)
    services.save_settings(settings=IntentSettings(tenant=shop.acme, threshold=1.0))
    assert "intent" not in features("how can i get a refund for this order")
    assert LIVE.value.tenants[ACME.id].model is before.tenants[ACME.id].model


def test_the_last_model_goes_on_while_the_next_is_learnt(shop):
    learning.learn(ACME.id)
    LIVE.swap(compile_intents())
    services.save_intent(intent=Intent(tenant=shop.acme, name="empty"))
    assert learning.stale() == [ACME.id]
    assert features("how can i get a refund for this order")["intent"] == "refund"


def test_what_nobody_can_read_is_no_model(shop, caplog):
    learning.learn(ACME.id)
    TrainedIntents.objects.for_tenant(ACME.id).update(model=b"nonsense")
    assert compile_intents().tenants[ACME.id].model is None
    assert "cannot be used" in caplog.text


def test_a_training_that_fails_says_so_and_is_not_tried_for_ever(shop, monkeypatch):
    monkeypatch.setattr(learning, "_model", lambda *_: 1 / 0)
    assert learning.learn(ACME.id) is True
    assert trained().failed == learning.FAILED and learning.stale() == []
    monkeypatch.undo()
    services.learn_again(ACME.id)
    assert learning.learn(ACME.id) is True and trained().failed == ""


def test_an_older_training_does_not_replace_a_newer_one(shop):
    row = trained()
    TrainedIntents.objects.for_tenant(ACME.id).update(wanted=row.wanted + 5, revision=row.wanted + 5)
    assert learning._learn_once(row) is False
    assert trained().report == {}


def test_a_model_without_the_vectors_of_here_is_learnt_again(shop):
    learning.learn(ACME.id)
    TrainedIntents.objects.for_tenant(ACME.id).update(vectors="others")
    assert learning.stale() == [ACME.id]


def test_a_worker_is_told_once_the_change_holds(cast, no_worker, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        for name in ("refund", "shipping"):
            services.save_intent(intent=Intent(tenant=cast.acme, name=name, utterances="x"))
        assert no_worker == []
    assert no_worker == [ACME.id]


@pytest.mark.parametrize("name", ["", " ", "two words", "-x", "x" * 65, "a\nb", "<b>", "\0", "\ud800"])
def test_it_refuses_names_that_no_rule_could_name(cast, name):
    with pytest.raises(ValidationError) as refused:
        services.save_intent(intent=Intent(tenant=cast.acme, name=name))
    assert "name" in refused.value.message_dict


@pytest.mark.parametrize("text", ["x" * 501, "a\0b", "a\x1bb"])
def test_it_refuses_examples_that_nobody_says(cast, text):
    with pytest.raises(ValidationError) as refused:
        services.save_intent(intent=Intent(tenant=cast.acme, name="ok", utterances=f"fine\n{text}"))
    assert list(refused.value.message_dict) == ["utterances"] and "Line 2" in refused.value.messages[0]


def test_a_tenant_has_room_for_so_many(cast, monkeypatch):
    monkeypatch.setattr(services, "MOST_INTENTS", 1)
    services.save_intent(intent=Intent(tenant=cast.acme, name="one"))
    with pytest.raises(ValidationError, match="at most 1"):
        services.save_intent(intent=Intent(tenant=cast.acme, name="two"))
    services.save_intent(intent=Intent(tenant=cast.globex, name="two"))
    monkeypatch.setattr(services, "MOST_TOGETHER", 1)
    with pytest.raises(ValidationError, match="examples together"):
        row = Intent.objects.for_tenant(cast.globex.pk).get()
        row.utterances = "a\nb"
        services.save_intent(intent=row)


def test_without_intents_nothing_is_loaded(cast):
    assert compile_intents() == live.IntentTable()
