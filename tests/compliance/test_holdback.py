"""What leaves and what is found depends on the text alone, however it is cut."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.normalising import DEFAULT_SWITCHES, SWITCHES
from compliance.words import Rule, WordMatcher
from engine.folding import Fold
from engine.types import Delta
from tests.cast import ALICE
from tests.compliance import oracle
from tests.compliance.test_words import ODD_SWITCHES, ODD_TEXTS, ODD_WORDS
from tests.compliance.wordlists import guard, guard_of, matcher

CUTS = st.lists(st.integers(0, 30), max_size=8)
ODD_LISTS = st.lists(
    st.tuples(st.sampled_from(["block", "mask", "record"]), ODD_WORDS, ODD_SWITCHES.map(frozenset)), max_size=4
)
ALL = frozenset(SWITCHES)


def pieces(text, cuts):
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[start:end] for start, end in zip(edges, edges[1:], strict=False)]


def compiled(lists, exceptions=()):
    return WordMatcher(
        [(Rule(str(place), 1, action), words, ways) for place, (action, words, ways) in enumerate(lists)], exceptions
    )


def said(words, parts, make=lambda piece: Delta(content=piece)):
    """The answer as the client puts it together, with the verdicts."""
    output = guard_of(words).output(ALICE.principal)
    fold = Fold()
    for part in parts:
        if (safe := output.feed(make(part))) is not None:
            fold.add(safe)
    for rest in output.flush():
        fold.add(rest)
    return fold.choices({}, "stop")[0].message, output.verdicts, output.blocked


def called(words, parts):
    message, verdicts, blocked = said(
        words, parts, lambda piece: Delta(tool_calls=[{"index": 0, "function": {"arguments": piece}}])
    )
    arguments = message.tool_calls[0]["function"]["arguments"] if message.tool_calls else ""
    return arguments, verdicts, blocked


@st.composite
def texts_with(draw, words):
    """A text in which words of the lists are likely."""
    parts = st.one_of(ODD_TEXTS, st.sampled_from(words)) if words else ODD_TEXTS
    return "".join(draw(st.lists(parts, max_size=3)))


@settings(max_examples=100, deadline=None)
@given(lists=ODD_LISTS, exceptions=ODD_WORDS, cuts=CUTS, data=st.data())
@pytest.mark.parametrize("field", ["content", "reasoning"])
def test_it_says_the_same_however_a_text_is_cut(field, lists, exceptions, cuts, data):
    text = data.draw(texts_with([word for _, words, _ in lists for word in words] + exceptions))
    words = compiled(lists, exceptions)

    def make(piece):
        return Delta(**{field: piece})

    whole = said(words, [text], make)
    assert said(words, pieces(text, cuts), make) == whole
    assert said(words, list(text), make) == whole


@settings(max_examples=100, deadline=None)
@given(lists=ODD_LISTS, exceptions=ODD_WORDS, cuts=CUTS, data=st.data())
def test_it_says_the_same_however_tool_arguments_are_cut(lists, exceptions, cuts, data):
    text = data.draw(texts_with([word for _, words, _ in lists for word in words] + exceptions))
    escaped = data.draw(st.sampled_from([text, json.dumps({"a": text}), json.dumps(text), text + "\\u00", "\\" + text]))
    words = compiled(lists, exceptions)
    whole = called(words, [escaped])
    assert called(words, pieces(escaped, cuts)) == whole
    assert called(words, list(escaped)) == whole


@settings(max_examples=100, deadline=None)
@given(lists=ODD_LISTS, exceptions=ODD_WORDS, cuts=CUTS, data=st.data())
def test_it_lets_no_character_of_a_blocked_or_masked_word_out(lists, exceptions, cuts, data):
    text = data.draw(texts_with([word for _, words, _ in lists for word in words] + exceptions))
    message, _, blocked = said(compiled(lists, exceptions), pieces(text, cuts))
    expected, ends = list(text), [len(text)]
    for action, words, switches in lists:
        for hit in oracle.kept_of(text, words, switches, exceptions):
            if action == "mask":
                expected[hit.start : hit.end] = "*" * (hit.end - hit.start)
            elif action == "block":
                ends.append(hit.start)
    assert blocked is (len(ends) > 1)
    assert len(message.content) <= min(ends)
    assert message.content == "".join(expected)[: len(message.content)]
    assert blocked or len(message.content) == len(text)


@settings(max_examples=60, deadline=None)
@given(words=ODD_WORDS, switches=ODD_SWITCHES, exceptions=ODD_WORDS, text=ODD_TEXTS)
def test_it_holds_what_could_still_become_a_word_and_no_more(words, switches, exceptions, text):
    switches = frozenset(switches)
    held = matcher(switches, exceptions, record=words).scan(text, over=False).held_from()
    assert held == oracle.hold_of(text, words, switches, exceptions)


@pytest.mark.parametrize(
    ("switches", "word", "text", "free"),
    [
        (DEFAULT_SWITCHES, "坏人", "他是坏", "他是"),
        (DEFAULT_SWITCHES, "坏人", "他是坏.-.", "他是"),
        (DEFAULT_SWITCHES, "坏人", "他是坏" + "." * 8, "他是"),
        (DEFAULT_SWITCHES, "坏人", "他是坏" + "." * 9, "他是坏" + "." * 9),
        (DEFAULT_SWITCHES, "坏人", "坏坏坏", ""),
        (DEFAULT_SWITCHES, "坏人", "坏事", "坏事"),
        (DEFAULT_SWITCHES, "bad", "so b a", "so "),
        (DEFAULT_SWITCHES, "bad", "so b ad", "so b ad"),
        (DEFAULT_SWITCHES, "bad", "so baaa", "so "),
        (DEFAULT_SWITCHES, "bad", "so bad.", "so bad."),
        (DEFAULT_SWITCHES, "bad", "so bad\u200b", "so "),
        (DEFAULT_SWITCHES, "good", "so go", "so "),
        (DEFAULT_SWITCHES, "good", "so god", "so god"),
        (DEFAULT_SWITCHES, "c++", "in c", "in "),
        (DEFAULT_SWITCHES, "c++", "in c ", "in c "),
        (ALL, "坏人", "是huair", "是"),
        (ALL, "坏人", "是huai ", "是"),
        (ALL, "坏人", "是huais", "是huais"),
        (ALL, "坏人", "是怀", "是"),
        (DEFAULT_SWITCHES | {"pinyin"}, "坏人", "是怀", "是怀"),
        (DEFAULT_SWITCHES | {"pinyin"}, "坏人", "是坏r", "是"),
        (ALL, "bad", "so ц4", "so ц4"),
        (ALL, "bad", "so b4", "so "),
    ],
)
def test_it_releases_at_once_what_cannot_become_a_word(switches, word, text, free):
    held = matcher(switches, record=[word]).scan(text, over=False).held_from()
    assert text[:held] == free


def test_it_waits_for_the_end_of_an_exception():
    words = matcher(DEFAULT_SWITCHES, ["坏人不坏"], block=["坏"])
    parts = ["他说坏", "人", "不", "坏", "。"]
    output = guard_of(words).output(ALICE.principal)
    assert [safe.content if (safe := output.feed(Delta(content=part))) else None for part in parts] == [
        "他说",
        None,
        None,
        "坏人不坏",
        "。",
    ]
    message, _, blocked = said(words, ["他说坏", "人不", "好"])
    assert (message.content, blocked) == ("他说", True)


def test_it_knows_an_exception_that_began_before_what_is_held():
    words = matcher(DEFAULT_SWITCHES, ["他不是坏人"], mask=["坏人"])
    assert said(words, list("他不是坏人，坏人"))[0].content == "他不是坏人，**"


def test_it_reads_hostile_text_in_linear_time():
    """A word of repeats against a text of them: the same text in pieces is scanned at most once a longest word."""
    words = matcher(block=["坏" * 64], record=["坏" * length for length in range(1, 5)])
    assert words.scan("坏" * 10_000, over=False).hits
    message, _, blocked = said(matcher(block=["坏" * 63 + "人"]), ["坏" * 50] * 200)
    assert not blocked
    assert message.content == "坏" * 10_000


def test_it_holds_no_more_than_nine_times_the_longest_word():
    output = guard(ALL, block=["abcdefgh"]).output(ALICE.principal)
    fed = sent = most = 0
    for piece in [*"abcdefg", *"." * 100, *("a" + "." * 8 + "b" + "\u200b" * 8 + "c" * 9 + "d" + " " * 20)]:
        safe = output.feed(Delta(content=piece))
        fed += 1
        sent += len(safe.content) if safe is not None else 0
        most = max(most, fed - sent)
    assert most > 20
    assert most <= 9 * 8
