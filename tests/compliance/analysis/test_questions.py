"""What conversations are begun with: counted in bounded space, sealed, and gone with who asked."""

import asyncio
from collections import Counter

import pytest
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.analysis import keeping, questions, reader
from compliance.analysis.questions import ASKERS, Question, Summary, normal_form, opening_question
from compliance.models import Erasure, PersonalData
from compliance.models.insights import InsightQuestions
from compliance.usage.reader import Period
from engine.types import Message, Verdict
from tests.compliance.analysis.journal import HOUR, KEYS, NOON, turn

DAY = Period(NOON - 12 * HOUR, NOON + 36 * HOUR)


def stored(tenant_id=1):
    """All days together."""
    whole = Summary(questions={})
    for row in InsightQuestions.objects.for_tenant(tenant_id):
        whole.merge(questions.unseal(KEYS[tenant_id], tenant_id, row.day, row.summary))
    return whole


def top(tenant_id=1, most=10):
    return [(each.question, each.count, each.users) for each in reader.top_questions(tenant_id, DAY, most=most).top]


def test_the_same_question_is_one_however_it_is_written(kept):
    kept.write(
        *turn("How do I return it?"), *turn("  how do I  RETURN it", user="bob"), *turn("Ｈow do I return it？！"),
        *turn("怎么退货？", user="bob"), *turn("怎么退货"), *turn(""), *turn("x" * 900),
    )  # fmt: skip
    kept.analyse()
    kept.write(*turn("怎么退货。"))
    kept.analyse()
    assert top() == [("how do i return it", 3, 2), ("怎么退货", 3, 2)]
    assert reader.top_questions(1, DAY, most=10).total == 6


@pytest.mark.parametrize(
    ("text", "plain"),
    [("  ", None), ("?", None), ("a", None), ("Ja!", "ja"), ("a\x00b", None), ("x" * 201, None), ("“Why?”", "why")],
)
def test_what_is_no_question_is_none(text, plain):
    assert normal_form(text) == plain


def test_only_what_begins_a_conversation_counts(kept):
    first, more = Message(role="user", content="First"), Message(role="user", content="More")
    answer, system = Message(role="assistant", content="Yes"), Message(role="system", content="Be kind")
    assert opening_question([system, first]) == "First"
    assert opening_question([first, answer, more]) is None
    assert opening_question([first, more]) is None
    parts = Message(role="user", content=[{"type": "text", "text": "What"}, {"type": "image_url"}, {"text": 7}])
    assert opening_question([parts]) == "What"
    kept.write(
        *turn(messages=[system, first]), *turn(messages=[first, answer, more]), *turn(session="s", parent=3),
        *turn("Ours", edge="console"), *turn("Refused", state="refused"),
        *turn("Gold", verdicts=[Verdict(list="l", version=1, word="gold", action="mask", where="input")]),
    )  # fmt: skip
    kept.analyse()
    assert top() == [("first", 1, 1)]


def test_personal_data_is_masked_where_the_tenant_wants_that(kept):
    PersonalData.objects.create(tenant_id=1, recognisers=["email"])
    texts = ["Is ann@example.com known?", "Is bob@example.com known?"]
    kept.write(*(entry for text in texts for number in (1, 2) for entry in turn(text, tenant_id=number)))
    kept.analyse()
    ((masked, count, _users),) = top()
    assert count == 2
    assert "@" not in masked
    assert len(top(2)) == 2


def test_what_is_stored_is_sealed_for_its_tenant_and_day(kept):
    kept.write(*turn("A secret question"))
    kept.analyse()
    row = InsightQuestions.objects.for_tenant(1).get()
    assert b"secret" not in bytes(row.summary)
    assert questions.unseal(KEYS[1], 1, row.day, row.summary).questions
    assert questions.unseal(KEYS[1], 1, row.day + 1, row.summary) == Summary(questions={})
    assert questions.unseal(KEYS[2], 1, row.day, row.summary) == Summary(questions={})


# Erasure, retention --------------------------------------------------------------------------------------------------


def test_an_erasure_takes_what_only_they_asked(kept):
    kept.write(*turn("Mine alone"), *turn("Ours"), *turn("Ours", user="bob"), *turn("Mine alone", tenant_id=2))
    kept.analyse()
    ann = KEYS[1].pseudonym("ann")
    eraser = keeping.QuestionEraser()
    assert keeping.forget_questions(1, {ann}.__contains__) == 2
    assert top() == [("ours", 1, 1)]
    assert stored().total == 1
    assert keeping.forget_questions(1, {ann}.__contains__) == 0
    assert top(2) == [("mine alone", 1, 1)]
    assert eraser.home == "questions"


def test_what_was_read_before_an_erasure_is_not_stored_after_it(kept):
    kept.write(*turn("Mine alone"), *turn("Another", user="bob"))
    Erasure.objects.create(tenant_id=1, subject=KEYS[1].pseudonym("ann"), erased_at=timezone.now())
    kept.analyse()
    assert top() == [("another", 1, 1)]


def test_questions_go_before_sums_do(kept, settings):
    settings.INSIGHTS_QUESTION_DAYS, settings.INSIGHTS_DAYS = 2, 4
    kept.write(*turn("Old"))
    kept.analyse(now=lambda: NOON + 24 * HOUR)
    assert len(top()) == 1
    kept.analyse(now=lambda: NOON + 4 * 24 * HOUR)
    assert top() == []
    assert reader.states(1, DAY).turns == 1
    kept.analyse(now=lambda: NOON + 6 * 24 * HOUR)
    assert reader.states(1, DAY).turns == 0


def test_a_tenant_that_keeps_its_turns_shorter_keeps_questions_no_longer(kept, cast):
    cast.acme.retention_days = 3
    cast.acme.save()
    kept.write(*turn("Old"), *turn("Old", tenant_id=2))
    kept.analyse(now=lambda: NOON + 5 * 24 * HOUR)
    assert (top(1), len(top(2))) == ([], 1)


def test_few_askers_are_not_shown_where_that_is_wanted(kept, settings):
    kept.write(*turn("Mine"), *turn("Ours"), *turn("Ours", user="bob"))
    kept.analyse()
    settings.INSIGHTS_ASKERS = 2
    assert top() == [("ours", 2, 2)]


def test_a_new_key_of_the_tenant_wraps_them_anew(kept):
    from tenants.keyring import TenantKeys  # noqa: PLC0415

    kept.write(*turn("Kept"))
    kept.analyse()
    old, new = bytes([2]) * 32, bytes([99]) * 32
    rotated = TenantKeys(bytes([2]) * 16, [old, new])
    assert questions.rewrap(1, rotated) == 1
    assert questions.rewrap(1, rotated) == 0
    row = InsightQuestions.objects.for_tenant(1).get()
    assert questions.unseal(TenantKeys(bytes([2]) * 16, [new]), 1, row.day, row.summary).questions


# The summary --------------------------------------------------------------------------------------------------------

BATCHES = st.lists(st.dictionaries(st.integers(0, 30).map(str), st.integers(1, 5), max_size=12), max_size=20)


@settings(deadline=None, max_examples=100)
@given(BATCHES)
def test_its_counts_are_off_by_no_more_than_it_says(batches):
    whole, true = Summary(questions={}), Counter()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(questions, "MOST", 5)
        for batch in batches:
            whole.add({text: {"u": count} for text, count in batch.items()})
            true.update(batch)
    assert len(whole.questions) <= 5
    assert whole.total == true.total()
    assert whole.lost <= whole.total / 6
    for text, count in true.items():
        found = whole.questions.get(text, Question(0, {})).count
        assert found <= count <= found + whole.lost


def test_it_keeps_the_names_of_some_and_counts_all():
    whole = Summary(questions={})
    whole.add({"q": {f"u{number}": 1 for number in range(40)}})
    assert (whole.questions["q"].count, len(whole.questions["q"].askers)) == (40, ASKERS)
    whole.forget({"u0", "u39"}.__contains__)
    assert (whole.questions["q"].count, len(whole.questions["q"].askers)) == (39, ASKERS - 1)


def test_the_eraser_is_one_of_the_homes():
    from access import erasing  # noqa: PLC0415

    assert erasing._QUESTIONS.home == "questions"
    assert asyncio.iscoroutinefunction(erasing._QUESTIONS.erase)
