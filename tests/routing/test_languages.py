"""Instances that are kept for languages: candidates for those alone, and for others only where nobody else is left."""

import json

import msgspec
import pytest

from engine.errors import ContextTooLong, Overloaded
from engine.types import Answerer
from routing.recorded import Asked, Decision, Ended
from routing.replay import Replay
from routing.table import RoutingTable
from tests.routing.fleet import Fleet, entry, rule

HERE = {"language": "zh-Hans", "language_source": "text", "language_confidence": 0.97}


def fleet(*rules, **fields):
    entries = [
        entry(1, "qwen", languages=("zh", "ja"), **fields),
        entry(2, "mistral", languages=("fr",), **fields),
        entry(3, "general", **fields),
    ]
    return Fleet(entries, rules)


def models(made, **asked):
    return set(made.answered(12, **asked))


def test_a_turn_of_a_known_language_goes_to_those_who_are_there_for_it():
    made = fleet()
    assert models(made, language="zh") == {"qwen", "general"}
    assert models(made, language="fr-CA") == {"mistral", "general"}
    assert models(made, language="de") == {"general"}
    assert models(made, found={"language": "zh-Hant"}) == {"qwen", "general"}
    assert models(made) == {"qwen", "mistral", "general"}


def test_what_a_plugin_found_counts_before_what_the_request_says():
    assert models(fleet(), found={"language": "zh"}, language="fr") == {"qwen", "general"}


def test_the_record_says_who_was_left_out_and_how_the_language_was_found():
    decision = fleet().ask(found=HERE).decision
    assert {each["id"]: each["removed"] for each in decision["candidates"]} == {1: None, 2: "language", 3: None}
    assert decision["language"] == {"tag": "zh-Hans", "source": "text", "confidence": 0.97}
    assert decision["features"]["language"] == "zh"
    assert "language" not in fleet().ask(language="fr").decision
    json.dumps(decision)


def test_those_of_other_languages_answer_rather_than_nobody():
    made = Fleet([entry(1, "qwen", languages=("zh",)), entry(2, "mistral", languages=("fr",))])
    decision = made.ask(language="de").decision
    assert decision["model"] in ("qwen", "mistral")
    assert decision["fallback"] == {"language": "de"}
    assert {each["removed"] for each in decision["passed_over"][0]["candidates"]} == {"language"}
    assert made.ask(language="fr").model == "mistral"
    made.health(2).paused_until = made.clock.now + 9
    decision = made.ask(language="fr").decision
    assert (decision["model"], decision["fallback"]) == ("qwen", {"language": "fr"})
    assert made.ask(language="fr", exclude=[2]).model == "qwen"
    made.health(1).paused_until = made.clock.now + 9
    with pytest.raises(Overloaded):
        made.ask(language="fr")


def test_a_rules_fallbacks_of_the_language_go_before_others_of_its_own_model():
    made = Fleet(
        [entry(1, "a", languages=("en",)), entry(2, "b", languages=("fr",)), entry(3, "c", languages=("zh",))],
        [rule(1, "a", fallbacks=("b", "c"))],
    )
    assert made.ask(language="en").model == "a"
    assert made.ask(language="zh").decision["fallback"] == {"name": "c", "place": 2}
    assert made.ask(language="de").decision["fallback"] == {"language": "de"}
    made.health(1).paused_until = made.clock.now + 9
    assert made.ask(language="de").decision["fallback"] == {"name": "b", "place": 1, "language": "de"}


def test_a_model_asked_for_by_name_answers_in_any_language():
    made = fleet()
    decision = made.ask(model="mistral", language="zh").decision
    assert (decision["model"], decision["fallback"]) == ("mistral", {"language": "zh"})
    twins = Fleet([entry(1, "m", languages=("zh",)), entry(2, "m", languages=("en",))])
    assert {twins.ask(model="m", language="en").instance.id for _ in range(4)} == {2}
    assert twins.ask(instance_id=1, language="en").instance.id == 1


def test_a_conversation_that_changes_its_language_moves_on():
    made = fleet()
    before = Answerer(instance_id=1, model="qwen")
    assert made.ask(language="zh", answerer=before).decision["session"]["kept"] == "instance"
    decision = made.ask(language="fr", answerer=before).decision
    assert (decision["session"]["kept"], decision["model"] != "qwen") == (None, True)


def test_a_conversation_that_fits_nowhere_is_too_long_in_every_language():
    made = Fleet([entry(1, "a", languages=("zh",), context_window=100), entry(2, "b", context_window=100)])
    for language in ("zh", "fr"):
        with pytest.raises(ContextTooLong):
            made.ask(text="word " * 400, language=language)
    roomy = Fleet([entry(1, "a", languages=("zh",), context_window=9000), entry(2, "b", context_window=100)])
    assert roomy.ask(text="word " * 400, language="fr").model == "a"


def replayed(made, record, *rules):
    decision = msgspec.convert(record, Decision)
    replay = Replay(RoutingTable(made.cell.value.entries.values(), rules))
    asked = Asked(turn_id="0" * 32, tenant_id=1, at=1.7e9, decision=decision)
    replay.add(asked, Ended(state="completed", model=decision.model))
    return replay.report()


def test_a_replay_goes_by_languages_as_decisions_do():
    made = Fleet([entry(1, "qwen", languages=("zh",)), entry(2, "mistral", languages=("fr",)), entry(3, "m")])
    record = made.ask(language="fr").decision
    assert replayed(made, record).moved.share == 0
    report = replayed(made, record, rule(1, "qwen", fallbacks=("mistral",)))
    assert {flow.to for flow in report.flows} <= {"mistral"}
    alone = Fleet([entry(1, "qwen", languages=("zh",)), entry(2, "mistral", languages=("fr",))])
    assert replayed(alone, alone.ask(language="de").decision).moved.share == 0
