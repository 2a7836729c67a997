"""What leaves and what is found depends on the text alone, however it is cut."""

from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.normalising import normalise
from engine.folding import Fold
from engine.types import Delta
from tests.cast import ALICE
from tests.compliance.wordlists import guard, matcher, plain_hits, plain_hold

ALPHABET = "abAß坏人ＢÉ。 İ"
TEXTS = st.text(alphabet=ALPHABET, max_size=14)
WORDS = st.lists(st.text(alphabet="abß坏人。 i", min_size=1, max_size=4), max_size=4)
LISTS = st.fixed_dictionaries({"block": WORDS, "mask": WORDS, "record": WORDS}).filter(
    lambda lists: any(lists.values())
)
CUTS = st.lists(st.integers(0, 14), max_size=8)


def pieces(text, cuts):
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[start:end] for start, end in zip(edges, edges[1:], strict=False)]


def said(lists, parts, make=lambda piece: Delta(content=piece)):
    """The answer as the client puts it together, with the verdicts."""
    output = guard(**lists).output(ALICE.principal)
    fold = Fold()
    for part in parts:
        if (safe := output.feed(make(part))) is not None:
            fold.add(safe)
    for rest in output.flush():
        fold.add(rest)
    return fold.choices({}, "stop")[0].message, output.verdicts, output.blocked


@settings(max_examples=400)
@given(lists=LISTS, text=TEXTS, cuts=CUTS)
def test_it_says_the_same_however_a_text_is_cut(lists, text, cuts):
    whole = said(lists, [text])
    assert said(lists, pieces(text, cuts)) == whole
    assert said(lists, list(text)) == whole


@given(lists=LISTS, text=TEXTS, cuts=CUTS)
def test_it_says_the_same_however_tool_arguments_are_cut(lists, text, cuts):
    def make(piece):
        return Delta(tool_calls=[{"index": 0, "function": {"arguments": piece}}])

    assert said(lists, pieces(text, cuts), make)[1:] == said(lists, [text])[1:]
    message = said(lists, pieces(text, cuts), make)[0]
    arguments = message.tool_calls[0]["function"]["arguments"] if message.tool_calls else ""
    assert arguments == said(lists, [text])[0].content


@settings(max_examples=400)
@given(lists=LISTS, text=TEXTS, cuts=CUTS)
def test_it_lets_no_character_of_a_blocked_or_masked_word_out(lists, text, cuts):
    message, verdicts, blocked = said(lists, pieces(text, cuts))
    normal, origins = normalise(text)
    origins = list(range(len(text))) if origins is None else origins
    expected, ends = list(text), [len(text)]
    for start, end, _ in plain_hits(normal, lists["mask"]):
        for place in range(origins[start], origins[end - 1] + 1):
            expected[place] = "*"
    ends += [origins[start] for start, _, _ in plain_hits(normal, lists["block"])]
    assert blocked is (len(ends) > 1)
    assert len(message.content) <= min(ends)
    assert message.content == "".join(expected)[: len(message.content)]
    if not blocked:
        assert message.content == "".join(expected)
        found = {(verdict.action, verdict.word) for verdict in verdicts}
        assert found == {(action, word) for action, words in lists.items() for _, _, word in plain_hits(normal, words)}


@given(lists=LISTS, text=TEXTS, cuts=CUTS)
def test_it_holds_back_nothing_more_than_it_must(lists, text, cuts):
    words = [word for words in lists.values() for word in words]
    output = guard(**lists).output(ALICE.principal)
    fed = sent = ""
    for piece in pieces(text, cuts):
        safe = output.feed(Delta(content=piece))
        if output.blocked:
            return
        fed += piece
        sent += (safe.content or "") if safe is not None else ""
        normal, origins = normalise(fed)
        hold = plain_hold(normal, words)
        free = hold if origins is None or hold == len(normal) else origins[hold]
        assert len(sent) == (len(fed) if hold == len(normal) else free)


def test_it_reads_hostile_text_in_linear_time():
    """A word of repeats against a text of them: the same text in pieces is scanned at most once a longest word."""
    words = matcher(block=["坏" * 64], record=["坏" * length for length in range(1, 5)])
    assert words.held_from("坏" * 10_000, 10_000) == 10_000 - 63
    message, _, blocked = said({"block": ["坏" * 63 + "人"]}, ["坏" * 50] * 200)
    assert not blocked
    assert message.content == "坏" * 10_000
