"""What turns add to the sums: each once, in the hour in which it ended."""

import pytest

from compliance.analysis import reader
from compliance.analysis.counting import PATIENCE, SEPARATOR
from compliance.analysis.running import LATE
from compliance.usage.reader import Period
from engine.entries import Retry
from engine.types import Verdict
from tests.compliance.analysis.journal import HOUR, NOON, counts, turn

DAY = Period(NOON, NOON + 24 * HOUR)


def verdict(action="record", where="input", word="gold", name="metals"):
    return Verdict(list=name, version=1, word=word, action=action, where=where)


def test_turns_count_in_the_hour_they_end_in(kept):
    kept.write(*turn(), *turn(state="failed", seconds=2 * HOUR), *turn(state="aborted", at=NOON + HOUR, edge="openai"))
    assert kept.analyse().entries == 6
    assert counts(what="turns") == {
        (0, "rest", "completed"): 1, (2, "rest", "failed"): 1, (1, "openai", "aborted"): 1,
    }  # fmt: skip
    assert reader.states(1, DAY).completion_rate == pytest.approx(1 / 3)


def test_an_end_that_comes_late_is_counted_where_it_belongs(kept):
    """Its intent was read an hour of work before."""
    begun, ended = turn(features={"language": "zh"})
    kept.write(begun)
    assert kept.analyse().entries == 1
    assert counts() == {}
    kept.write(*turn(at=NOON + 5 * HOUR))
    kept.analyse()
    kept.write(ended, slot=3)
    kept.analyse()
    assert counts(what="turns") == {(0, "rest", "completed"): 1, (5, "rest", "completed"): 1}
    assert counts(what="language") == {(0, "zh", "completed"): 1}


def test_languages_and_intents_are_those_of_the_decision(kept):
    kept.write(
        *turn(features={"language": "zh", "intent": "refund", "intent_score": 0.9}),
        *turn(features={"language": "zh-Hant", "intent": "refund"}, state="failed"),
        *turn(features={"language": "en", "intent_score": 0.1}),
        *turn(features={"language": "x" * 300, "intent": ["odd"]}),
        *turn(features={}),
    )
    kept.analyse()
    assert counts(what="language") == {
        (0, "zh", "completed"): 1, (0, "zh-Hant", "failed"): 1, (0, "en", "completed"): 1, (0, "…", "completed"): 1,
    }  # fmt: skip
    assert counts(what="intent") == {
        (0, "refund", "completed"): 1, (0, "refund", "failed"): 1, (0, "", "completed"): 1,
    }  # fmt: skip
    assert [(each.name, each.states.turns) for each in reader.named(1, "intent", DAY)] == [("refund", 2), ("", 1)]


def test_hits_count_once_a_turn_by_list_and_word(kept):
    twice = [verdict(), verdict(), verdict(word="silver")]
    out = {"verdicts": [verdict("mask", "output")]}
    kept.write(*turn(verdicts=twice, answer=out), *turn(verdicts=[verdict("block")], state="refused"))
    kept.analyse()
    assert counts(what="filter") == {
        (0, "metals", "record input"): 1, (0, "metals", "mask output"): 1, (0, "metals", "block input"): 1,
    }  # fmt: skip
    assert counts(what="word") == {
        (0, f"metals{SEPARATOR}gold", "record input"): 1, (0, f"metals{SEPARATOR}silver", "record input"): 1,
        (0, f"metals{SEPARATOR}gold", "mask output"): 1, (0, f"metals{SEPARATOR}gold", "block input"): 1,
    }  # fmt: skip
    found = {(each.word, each.detail, each.count) for each in reader.words(1, DAY)}
    assert ("silver", "record input", 1) in found


def test_retries_fallbacks_kept_answers_and_errors_are_told(kept):
    retried = {"retries": [Retry(1, "a", "upstream_timeout", 1.0)], "instance": "b"}
    kept.write(
        *turn(answer=retried), *turn(answer={"source": "cache"}), *turn(state="failed", answer={"error": "overloaded"}),
        *turn(personal={"email": 2}),
    )  # fmt: skip
    kept.analyse()
    assert counts(what="retry") == {(0, "a", "upstream_timeout"): 1}
    assert counts(what="fallback") == {(0, "b", "completed"): 1}
    assert counts(what="source") == {(0, "cache", "completed"): 1}
    assert counts(what="error") == {(0, "overloaded", "failed"): 1}
    assert counts(what="personal") == {(0, "email", ""): 1}


def test_slow_models_come_first(kept):
    slow = {"model": "big", "instance": "big", "instance_id": 8, "ttft": 3.0}
    kept.write(*turn(), *turn(), *turn(seconds=30.0, answer=slow), *turn(state="failed", seconds=90.0))
    kept.analyse()
    kept.write(*turn(seconds=30.0, answer=slow))
    kept.analyse()
    first, second = reader.slowest(1, DAY)
    assert (first.model, first.instance_id, first.turns, second.turns) == ("big", 8, 2, 2)
    assert first.latency.duration.p95 == pytest.approx(30, rel=0.06)
    assert first.latency.first_token.p50 == pytest.approx(3, rel=0.06)
    assert second.latency.duration.p99 == pytest.approx(1, rel=0.06)


# Sessions -----------------------------------------------------------------------------------------------------------


def analysed_at(kept, moment):
    kept.analyse(now=lambda: moment)
    return counts(what="session")


def test_a_session_is_abandoned_when_nobody_asks_again(kept):
    soon, later = NOON + 100, NOON + PATIENCE + LATE + 100
    kept.write(*turn(session="s1", state="failed"), *turn(session="s2"), *turn(session="s3", state="cancelled"))
    assert analysed_at(kept, soon) == {(0, "opened", ""): 3}
    kept.write(*turn(session="s3", at=NOON + 60))  # goes on, and its first turn is not opened again
    assert analysed_at(kept, soon) == {(0, "opened", ""): 3}
    assert analysed_at(kept, later) == {(0, "opened", ""): 3, (0, "abandoned", ""): 1}
    assert analysed_at(kept, later + HOUR) == {(0, "opened", ""): 3, (0, "abandoned", ""): 1}
    assert reader.sessions(1, DAY).abandonment_rate == pytest.approx(1 / 3)


def test_who_comes_back_much_later_had_abandoned_it(kept):
    late = NOON + 3 * PATIENCE
    kept.write(*turn(session="s", state="failed"), *turn(session="s", at=late, state="failed", parent=2))
    assert analysed_at(kept, late + 10) == {(0, "opened", ""): 1, (0, "abandoned", ""): 1}
    assert analysed_at(kept, late + 2 * PATIENCE) == {
        (0, "opened", ""): 1, (0, "abandoned", ""): 1, (1, "abandoned", ""): 1,
    }  # fmt: skip


def test_turns_of_consoles_open_no_session(kept):
    kept.write(*turn(session="s", edge="console"))
    assert analysed_at(kept, NOON + 10) == {}


# Whose --------------------------------------------------------------------------------------------------------------


def test_tenants_are_apart_and_the_platform_has_no_sums(kept):
    kept.write(*turn(tenant_id=1), *turn(tenant_id=2, state="failed"), *turn(tenant_id=0), *turn(tenant_id=9))
    kept.analyse()
    assert counts(1, "turns") == {(0, "rest", "completed"): 1}
    assert counts(2, "turns") == {(0, "rest", "failed"): 1}
    assert counts(9) == {}
    assert reader.by_tenant(DAY).keys() == {1, 2}


def test_odd_bodies_stop_nothing(kept):
    kept.write(*turn(), fold=False)
    kept.append([_raw("completion", b"{}", "completed"), _raw("completion", b"\x01\x00", "strange")])
    kept.append([_raw("completion", b'{"duration": "long", "retries": 7}', "failed"), _raw("intent", b"", "")])
    kept.fold()
    assert kept.analyse().entries == 6
    assert counts(what="turns") == {
        (0, "rest", "completed"): 1, (0, "", "completed"): 1, (0, "", "failed"): 2,
    }  # fmt: skip


def test_further_rounds_are_no_turns(kept):
    """What a plugin asked for: its call counts among the calls, and nobody asked it."""
    features = {"language": "zh", "intent": "refund", "intent_score": 0.9}
    begun, ended = turn(features=features)
    kept.write(begun)
    retried = {"retries": [Retry(1, "gpt", "upstream_timeout", 1.0)], "instance": "other"}
    about = {"parent_turn": begun.turn_id}
    asked = {"edge": "round", "verdicts": [verdict()], **about}
    kept.write(*turn(features=features, seconds=0.5, answer={**retried, **about}, **asked))
    kept.write(*turn(features=features, state="failed", answer={"error": "overloaded", **about}, edge="round", **about))
    kept.write(ended)
    kept.analyse()
    assert counts() == {
        (0, "turns", "rest", "completed"): 1, (0, "language", "zh", "completed"): 1,
        (0, "intent", "refund", "completed"): 1, (0, "retry", "gpt", "upstream_timeout"): 1,
        (0, "fallback", "other", "completed"): 1, (0, "filter", "metals", "record input"): 1,
        (0, "word", f"metals{SEPARATOR}gold", "record input"): 1,
    }  # fmt: skip
    assert reader.top_questions(1, DAY, most=5).total == 1


def _raw(kind, body, state):
    from engine.turn import new_turn_id  # noqa: PLC0415

    return (new_turn_id(NOON), kind, 0, 1, NOON, "w", None, "", None, "", "", state, body)


def test_it_counts_a_journal_on_postgresql(kept_on_server):
    journal = kept_on_server
    begun, ended = turn(features={"language": "ja"})
    journal.write(begun, *turn(tenant_id=2))
    journal.analyse()
    journal.write(ended)
    journal.analyse()
    assert counts(what="language") == {(0, "ja", "completed"): 1}
    assert counts(2, "turns") == {(0, "rest", "completed"): 1}
