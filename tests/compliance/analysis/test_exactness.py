"""Every entry counts once, however often a run is cut off, wherever, by whom, and whoever runs at the same time."""

import os
import random
import signal
from collections import Counter

import pytest
from django.db import DatabaseError, connection, connections, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.analysis import facts, running, storing
from compliance.analysis.counting import Counting, Delta
from compliance.analysis.running import LEASE
from compliance.analysis.storing import Overtaken, Step
from compliance.journal import slots
from compliance.journal.following import Followed
from compliance.models.insights import AnalysisRun, InsightPlace, InsightTiming
from compliance.sealing import body, splitting
from compliance.usage import buckets
from engine.entries import Intent
from engine.types import Message, Verdict
from tests.compliance.analysis.journal import HOUR, KEYS, NOON, Journal, aliased, counts, turn
from tests.compliance.analysis.test_questions import stored

STATES = ("completed", "completed", "refused", "failed", "cancelled", "aborted")
LANGUAGES = (None, "zh", "en", "ja")


def turns(chance, number):
    """Random ones of two tenants, each with its own question; what they should add up to."""
    pairs, expected = [], {1: Counter(), 2: Counter()}
    for each in range(number):
        tenant_id, state = chance.choice((1, 2)), chance.choice(STATES)
        language, hour = chance.choice(LANGUAGES), chance.randrange(3)
        hits = [
            Verdict(list="l", version=1, word=chance.choice("ab"), action="record", where="input")
        ] * chance.randrange(3)
        pairs.append(
            turn(
                f"question {each % 7}", state, at=NOON + hour * HOUR + each, tenant_id=tenant_id, user=f"u{each % 5}",
                features={"language": language} if language else {}, verdicts=hits,
            )
        )  # fmt: skip
        told = expected[tenant_id]
        told[hour, "turns", "rest", state] += 1
        if language:
            told[hour, "language", language, state] += 1
        if hits:
            told[hour, "filter", "l", "record input"] += 1
            told[hour, "word", f"l\x1f{hits[0].word}", "record input"] += 1
        if state == "completed":
            told["timed"] += 1
        if state != "refused":
            told[f"question {each % 7}"] += 1
    return pairs, expected


def told(tenant_id):
    found = Counter(counts(tenant_id))
    for (durations,) in InsightTiming.objects.for_tenant(tenant_id).values_list("durations"):
        found["timed"] += sum(buckets.summed([durations]).values())
    for text, question in stored(tenant_id).questions.items():
        found[text] += question.count
    return +found


class CutOff(DatabaseError):
    pass


def cut_at(number, how):
    """Does `how` instead of the statement of this number that changes something."""
    left = [number]

    def wrapper(execute, sql, params, many, context):
        if sql.lstrip().split(" ")[0].upper() in ("INSERT", "UPDATE", "DELETE"):
            left[0] -= 1
            if left[0] < 0:
                how()
        return execute(sql, params, many, context)

    return connection.execute_wrapper(wrapper)


def fail():
    raise CutOff


def test_a_run_that_fails_anywhere_is_gone_on_with(kept):
    pairs, expected = turns(random.Random(1), 60)
    entries = [entry for pair in pairs for entry in pair]
    random.Random(2).shuffle(entries)  # ends before their beginnings, too
    entries.sort(key=lambda entry: not isinstance(entry, Intent))
    kept.write(*entries[:80])
    kept.write(*entries[80:], slot=2)
    cut = 0
    while True:
        try:
            with cut_at(cut, fail):
                kept.analyse(page=25)
            break
        except DatabaseError:
            transaction.set_rollback(False)  # the test's own
            AnalysisRun.objects.update(held_until=0.0)
        cut += 1
        assert cut < 200
    assert cut > 8, "it was cut off in few places"
    kept.analyse()
    for tenant_id in (1, 2):
        assert told(tenant_id) == expected[tenant_id]


def test_twice_is_once(kept):
    pairs, expected = turns(random.Random(3), 30)
    kept.write(*(entry for pair in pairs for entry in pair))
    assert kept.analyse().entries == 60
    assert kept.analyse().entries == 0
    assert told(1) == expected[1]
    assert kept.analyse(rebuild=True).entries == 60
    assert told(1) == expected[1]
    kept.analyse(rebuild=True, tenants=[2])
    assert told(1) == expected[1]
    assert told(2) == expected[2]


def test_two_at_a_time_count_once(kept):
    kept.write(*turn(), *turn())
    place = storing.place_of(1)
    kept.analyse()
    with pytest.raises(Overtaken):
        storing.store(place, Step(4), Delta({(0, "turns", "", "completed"): 2}, {}, {}, {}, set()), None)
    assert sum(counts(what="turns").values()) == 2


def test_one_runs_at_a_time_until_it_seems_to_be_dead(kept):
    kept.write(*turn())
    now = 1_900_000_000.0
    AnalysisRun.objects.create(pk=1, holder="somebody", held_until=now + LEASE)
    assert kept.analyse(now=lambda: now).elsewhere
    assert counts() == {}
    assert kept.analyse(now=lambda: now + LEASE + 1).entries == 2
    run = AnalysisRun.objects.get()
    assert (run.entries, run.error, run.held_until) == (2, "", 0.0)


def test_a_run_is_bounded_in_time_and_the_next_goes_on(kept):
    kept.write(*(entry for _ in range(30) for entry in turn()))
    clock = iter(range(1000))
    ran = kept.analyse(page=10, seconds=4, clock=lambda: next(clock))
    assert ran.more
    assert 0 < ran.entries < 60
    assert kept.analyse().entries == 60 - ran.entries
    assert sum(counts(what="turns").values()) == 30


def test_it_says_what_went_wrong_and_that_it_works_again(kept):
    kept.write(*turn(), slot=3)
    away = slots.slot_path(kept.place, 3)
    away.rename(away.with_suffix(".away"))
    with pytest.raises(running.TROUBLE):
        kept.analyse()
    assert "SourceAway" in AnalysisRun.objects.get().error
    away.with_suffix(".away").rename(away)
    assert kept.analyse().entries == 2
    assert AnalysisRun.objects.get().error == ""


def test_a_journal_that_became_shorter_is_gone_on_with_from_its_end(kept):
    kept.write(*turn())
    kept.analyse()
    InsightPlace.objects.for_tenant(1).update(position=50)
    kept.analyse()
    assert InsightPlace.objects.for_tenant(1).get().position == 2
    kept.write(*turn())
    kept.analyse()
    assert sum(counts(what="turns").values()) == 2


def test_killed_processes_lose_and_double_nothing(transactional_db, cast, journal_file, django_db_blocker, monkeypatch):
    """Each is killed (SIGKILL) before another of its statements."""
    monkeypatch.setattr("tenants.stored_keys.stored", KEYS.get)
    pairs, expected = turns(random.Random(5), 40)
    with django_db_blocker.unblock(), aliased(journal_file) as kept:
        kept.write(*(entry for pair in pairs for entry in pair))
        ends = [_child(kept, number) for number in (1, 4, 7, 10, 13, 16)]
        assert ends.count(-signal.SIGKILL) >= 4
        AnalysisRun.objects.update(held_until=0.0)
        kept.analyse()
        for tenant_id in (1, 2):
            assert told(tenant_id) == expected[tenant_id]


def _child(kept: Journal, number: int) -> int:
    """How a process ended that read the journal and was killed before its statement of this number."""
    AnalysisRun.objects.update(held_until=0.0)
    connections.close_all()
    child = os.fork()
    if child == 0:
        try:
            with cut_at(number, lambda: os.kill(os.getpid(), signal.SIGKILL)):
                kept.analyse(page=20)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


# Where pages are cut makes no difference -----------------------------------------------------------------------------

SESSIONS = st.sampled_from([None, "s1", "s2"])
TURNS = st.lists(st.tuples(st.sampled_from(STATES), SESSIONS, st.integers(0, 4000), st.integers(0, 1)), max_size=25)


def entries_of(given_turns):
    """As they would be followed, unsealed: the clear part is all that is read of these."""
    found, at = [], NOON
    for state, session, pause, parent in given_turns:
        at += pause
        begun, ended = turn(state=state, at=at, session=session, parent=parent)
        for entry, kind, row in (
            (begun, "intent", splitting.intent_row(begun, "w")),
            (ended, "completion", splitting.completion_row(ended, "w")),
        ):
            content = body.read(body.seal(row[-1], _cipher(), bytes(16), bytes(12), ("", "", 0, 1))).clear
            found.append(
                Followed(
                    len(found), len(found), entry.turn_id, kind, 0, 1, entry.at, session, "u", None, "gpt", "gpt",
                    state if kind == "completion" else "", content,
                )
            )  # fmt: skip
    return found


def _cipher():
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    return AESGCM(bytes(32))


@settings(deadline=None, max_examples=60)
@given(TURNS, st.lists(st.integers(1, 9), max_size=30))
def test_pages_of_any_size_add_up_to_the_same(given_turns, sizes):
    entries = entries_of(given_turns)
    asked = {
        entry.turn_id: (entry, facts.Asked(messages=[Message(role="user", content="How?")]))
        for entry in entries
        if entry.kind == "intent"
    }
    whole = Counting({}).count(entries, asked, {})
    added, ends, start = Counter(), {}, 0
    for size in [*sizes, len(entries)]:
        delta = Counting(ends).count(entries[start : start + size], asked, {})
        added.update(delta.counts)
        ends = {**{name: at for name, at in ends.items() if name not in delta.gone}, **delta.ends}
        start += size
    assert dict(added) == whole.counts
    assert ends == whole.ends
    assert sum(n for (_, what, *_), n in whole.counts.items() if what == "turns") == len(given_turns)
