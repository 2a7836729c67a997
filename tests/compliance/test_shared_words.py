"""Large lists of the platform's are compiled once, whoever has them: words that are joined are found like words that
are compiled together."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance import compiling
from compliance.compiling import compile_guard
from compliance.guard import WordGuard
from compliance.holdback import Channel
from compliance.normalising import DEFAULT_SWITCHES
from compliance.wordlists import replace_words, save_exceptions, subscribe
from compliance.words import Rule, WordMatcher
from engine.snapshots import Cell
from engine.types import Message
from tests.cast import ALICE, CHARLIE

TEXTS = st.text(alphabet="ab坏壞人huairen。 .", max_size=12)
WORDS = st.lists(st.text(alphabet="ab坏人", min_size=1, max_size=3), min_size=1, max_size=5)
SWITCHES = st.sampled_from([frozenset(), frozenset({"symbols"}), DEFAULT_SWITCHES, frozenset({"pinyin"})])
LISTS = st.lists(st.tuples(WORDS, SWITCHES, st.sampled_from(["block", "mask", "record"])), min_size=1, max_size=4)


def rules(lists):
    return [(Rule(f"list {place}", 1, action, place), words, seen) for place, (words, seen, action) in enumerate(lists)]


def places(words, text):
    return {(each.start, each.end, each.rule.list_id, each.word) for each in words.explain(text)}


@settings(deadline=None)
@given(LISTS, TEXTS, st.booleans())
def test_joined_words_are_found_like_words_compiled_together(lists, text, over):
    together = WordMatcher(rules(lists))
    joined = WordMatcher.joined([WordMatcher([each]) for each in rules(lists)])
    assert places(together, text) == places(joined, text)
    scans = [words.scan(text, over=over) for words in (together, joined)]
    assert scans[0].held_from() == scans[1].held_from()
    assert joined.context == together.context
    blocked = [
        {(hit.start, hit.end) for hit in scan.hits if words.entries[hit.word].block}
        for scan, words in zip(scans, (together, joined), strict=True)
    ]
    assert blocked[0] == blocked[1]


def test_the_same_words_may_stand_under_another_rule():
    words = WordMatcher(rules([(["bad", "ugly"], frozenset(), "mask")]))
    other = words.ruled(Rule("other", 7, "block"))
    assert [(each.rule.name, each.rule.action) for each in other.explain("bad ugly")] == [("other", "block")] * 2
    assert [each.rule.action for each in words.explain("bad")] == ["mask"]


def test_what_an_exception_lets_pass_under_one_rule_is_not_known_under_a_mandatory_one():
    words = WordMatcher(rules([(["bad"], frozenset(), "block")]), ["not bad"])
    strict = words.ruled(Rule("strict", 7, "block", mandatory=True))
    said = [Channel(each).push("not bad.") for each in (words, strict, words)]
    assert said == [("not bad.", ()), ("not ", [0]), ("not bad.", ())]


@pytest.fixture
def large(cast, monkeypatch):
    """A list of the platform's with as many words as make it a large one."""
    monkeypatch.setattr(compiling, "LARGE", 3)
    return replace_words(tenant=None, name="large", words=["bad", "worse", "worst"], mandatory=True, action="mask")


def automata(words):
    return {id(view._automaton) for group in words.input._groups for view in group.views}


def verdicts(table, person, text):
    found = WordGuard(Cell(table)).input(person.principal, [Message(role="user", content=text)])[1]
    return {(each.list, each.word, each.action) for each in found}


def test_tenants_share_a_large_list_whatever_else_they_have(cast, large):
    replace_words(tenant=cast.acme, name="own", words=["bad", "mine"], action="record")
    subscribe(tenant_id=cast.globex.pk, words=large, action="block")
    table = compile_guard()
    assert automata(table.default) < automata(table.of(cast.acme.pk))
    assert automata(table.default) == automata(table.of(cast.globex.pk))
    assert verdicts(table, ALICE, "bad mine worst") == {
        ("large", "bad", "mask"), ("own", "bad", "record"), ("own", "mine", "record"), ("large", "worst", "mask"),
    }  # fmt: skip
    assert verdicts(table, CHARLIE, "bad") == {("large", "bad", "block")}


def test_only_what_changed_is_compiled(cast, large):
    replace_words(tenant=cast.acme, name="own", words=["mine"])
    before = compile_guard()
    replace_words(tenant=cast.acme, name="own", words=["mine", "ours"])
    after = compile_guard(before)
    assert automata(before.default) < automata(after.of(cast.acme.pk))
    assert verdicts(after, ALICE, "ours bad") == {("own", "ours", "block"), ("large", "bad", "mask")}
    replace_words(tenant=None, name="large", words=["bad", "worse", "worst", "awful"])
    changed = compile_guard(after)
    assert not automata(changed.default) & automata(before.default)
    assert verdicts(changed, ALICE, "awful") == {("large", "awful", "mask")}
    assert set(changed.shared) == {(large.pk, 2)}, "what nobody has any more is let go"


def test_who_has_exceptions_shares_nothing_and_is_no_worse_off(cast, large):
    replace_words(tenant=cast.acme, name="own", words=["mine"])
    save_exceptions(tenant_id=cast.acme.pk, words=["mine all mine", "bad luck"])
    table = compile_guard()
    assert not automata(table.default) & automata(table.of(cast.acme.pk))
    assert verdicts(table, ALICE, "mine all mine, bad luck") == {("large", "bad", "mask")}
