"""Names, ids, types and arguments of tool calls in an answer, however they are cut."""

import json
from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.normalising import normalise
from engine.folding import Fold
from engine.types import Delta, Verdict
from tests.cast import ALICE
from tests.compliance.wordlists import guard, plain_hits


def call(index=0, name=None, arguments=None, **more):
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    return Delta(tool_calls=[{"index": index, **more, **({"function": function} if function else {})}])


def joined(deltas):
    """The calls as clients put them together: names, ids and arguments are concatenated (openai-python)."""
    calls = {}
    for delta in deltas:
        for fragment in delta.tool_calls or ():
            one = calls.setdefault(fragment["index"], {"id": "", "type": "", "name": "", "arguments": ""})
            one["id"] += fragment.get("id") or ""
            one["type"] = fragment.get("type") or one["type"]
            for key, piece in (fragment.get("function") or {}).items():
                one[key] += piece
    return calls


def answer(*deltas, **words):
    output = guard(**words).output(ALICE.principal)
    released = [safe for delta in deltas if (safe := output.feed(delta)) is not None]
    return joined([*released, *output.flush()]), output


def given_arguments(pieces, **words):
    calls, output = answer(*(call(arguments=piece) for piece in pieces), **words)
    return calls.get(0, {}).get("arguments", ""), output


def test_it_leaves_what_a_fold_joins_as_clients_do():
    fold = Fold()
    output = guard(block=["bad"]).output(ALICE.principal)
    for delta in (call(id="1", name="ba"), call(name="dge"), call(arguments="{"), call(arguments="}")):
        if (safe := output.feed(delta)) is not None:
            fold.add(safe)
    (choice,) = fold.choices({}, "stop")
    assert choice.message.tool_calls[0]["function"] == {"name": "badge", "arguments": "{}"}


# Names, ids and types ---------------------------------------------------------------------------------------------


def test_it_finds_a_name_split_over_fragments():
    calls, output = answer(
        call(id="1", type="function", name="get_ba"), call(name="d"), call(arguments="{}"), block=["bad"]
    )
    assert output.blocked
    assert output.verdicts == [Verdict("block", 1, "bad", "block", "output")]
    assert calls == {0: {"id": "1", "type": "function", "name": "get_", "arguments": ""}}


def test_it_masks_a_name_split_over_fragments():
    calls, _ = answer(call(name="get_ba"), call(name="d", arguments="{"), call(arguments="}"), mask=["bad"])
    assert calls[0]["name"] == "get_***"
    assert calls[0]["arguments"] == "{}"


def test_it_sends_a_name_before_its_arguments():
    output = guard(block=["bad"]).output(ALICE.principal)
    assert output.feed(call(name="ba")) is None
    assert output.feed(call(arguments="{")) == call(name="ba", arguments="{")


def test_it_sends_a_held_name_when_the_answer_ends():
    calls, output = answer(call(id="1", name="ba"), block=["bad"])
    assert calls[0]["name"] == "ba"
    assert not output.blocked


def test_it_ends_a_name_where_the_arguments_begin():
    calls, _ = answer(call(name="ba"), call(arguments="{"), call(name="d", arguments="}"), block=["bad"])
    assert calls[0] == {"id": "", "type": "", "name": "ba", "arguments": "{}"}


def test_it_sends_an_id_and_a_type_once():
    first = call(id="se", type="function", name="f")
    calls, output = answer(first, call(id="cret", type="function"), first, block=["secret"])
    assert calls[0] == {"id": "se", "type": "function", "name": "ff", "arguments": ""}
    assert not output.blocked


@pytest.mark.parametrize("field", ["id", "type"])
def test_it_reads_ids_and_types(field):
    calls, output = answer(call(**{"id": "1", "type": "function", field: "bad"}, name="f"), block=["bad"])
    assert output.blocked
    assert calls == {}
    calls, _ = answer(call(**{"id": "1", "type": "function", field: "bad"}, name="f"), mask=["bad"])
    assert calls[0][field] == "***"


def test_it_takes_the_type_of_a_call_for_no_text():
    calls, _ = answer(call(id="1", type="function", name="f"), block=["function"])
    assert calls[0]["type"] == "function"


def test_it_reads_keys_of_what_else_a_call_holds():
    _, output = answer(call(id="1", extra_content={"google": {"bad": "x"}}), block=["bad"])
    assert output.blocked


# Arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "arguments"),
    [
        ("outonly", r'{"t":"hi\noutonly"}'),
        ("outonly", r'{"t":"\u006f\u0075\u0074only"}'),
        ("坏人", r'{"t":"\u574f\u4eba"}'),
        ("坏人", r'{"t":"坏\u4eBA"}'),
        ("坏😀人", r'{"t":"\u574f\ud83d\ude00\u4eba"}'),
        ("😀", r'{"t":"x\uD83D\uDE00"}'),
        ('say "x"', r'{"t":"say \"x\" now"}'),
        ("a/b", r'{"t":"a\/b"}'),
        ("outonly", "not JSON \\u006futonly"),
        ("outonly", 'not JSON "outonly'),
    ],
)
def test_it_reads_arguments_unescaped_wherever_they_are_cut(word, arguments):
    whole, output = given_arguments([arguments], block=[word])
    assert output.blocked
    assert arguments.startswith(whole)
    masked, _ = given_arguments([arguments], mask=[word])
    assert len(masked) == len(arguments)
    for cut in range(len(arguments)):
        parts = [arguments[:cut], arguments[cut:]]
        said, output = given_arguments(parts, block=[word])
        assert (said, [verdict.word for verdict in output.verdicts]) == (whole, [word])
        assert given_arguments(parts, mask=[word])[0] == masked
    assert given_arguments(list(arguments), block=[word])[0] == whole
    assert given_arguments(list(arguments), mask=[word])[0] == masked


def test_it_sends_arguments_at_once_that_cannot_become_a_word():
    output = guard(block=["坏人"]).output(ALICE.principal)
    assert output.feed(call(arguments='{"a\\n": "x')) == call(arguments='{"a\\n": "x')
    assert output.feed(call(arguments=r"y\u57")) == call(arguments="y")
    assert output.feed(call(arguments="50z")) == call(arguments=r"\u5750z")


@pytest.mark.parametrize(
    ("arguments", "masked"),
    [
        ('{"a": 123, "b": -123.5}', '{"a": 111, "b": -111.5}'),
        ('{"a": true, "b": [null]}', '{"a": 1111, "b": [1111]}'),
        ('{"a": 1.5e+3}', '{"a": 1.1e+3}'),
        (r'{"a": "x\nbad"}', r'{"a": "x\n***"}'),
        (r'{"a": "\u0062ad"}', '{"a": "********"}'),
        (r'{"a": "\bad"}', '{"a": "****"}'),
        ('{"a":"ugly","b":1}', '{"a":"****","*":1}'),
    ],
)
def test_it_keeps_masked_arguments_valid(arguments, masked):
    words = ["123", "true", "null", "5e", "bad", 'ugly","b']
    said, _ = given_arguments([arguments], mask=words)
    assert said == masked
    json.loads(said)
    assert given_arguments(list(arguments), mask=words)[0] == masked


PIECES = ["a", "b", "é", "坏", "人", "😀", '"', "\\", "/", "\n", " ", "n", "u", "1", "\ud83d", "d"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=7).map("".join)
WORDS = st.lists(
    st.lists(st.sampled_from(["a", "b", "坏", "人", "😀", '"', "\\", "n", "u", "1", "d"]), min_size=1, max_size=3).map(
        "".join
    ),
    max_size=3,
)
LISTS = st.fixed_dictionaries({"block": WORDS, "mask": WORDS, "record": WORDS}).filter(
    lambda lists: any(lists.values())
)
VALUES = st.recursive(
    TEXTS | st.integers(-20, 200) | st.booleans() | st.none() | st.sampled_from([1.5, -0.1, 1e30]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=4,
)
RAW = st.lists(
    st.sampled_from(
        ["\\", "u", "d", "8", "3", "c", "0", "\\u", "\\ud83d", "\\ude00", '"', "n", "a", "坏", "\\u574f", "{"]
    ),
    max_size=10,
).map("".join)
CUTS = st.lists(st.integers(0, 80), max_size=6)


def encoded(value, escaped):
    return json.dumps({"k": value}, ensure_ascii=escaped)


def pieces(text, cuts):
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[start:end] for start, end in zip(edges, edges[1:], strict=False)]


def outcome(parts, lists):
    said, output = given_arguments(parts, **lists)
    return said, output.verdicts, output.blocked


@settings(max_examples=400, deadline=None)
@given(lists=LISTS, arguments=st.builds(encoded, VALUES, st.booleans()) | RAW, cuts=CUTS)
def test_it_says_the_same_however_arguments_are_cut(lists, arguments, cuts):
    whole = outcome([arguments], lists)
    assert outcome(pieces(arguments, cuts), lists) == whole
    assert outcome(list(arguments), lists) == whole


@settings(max_examples=300, deadline=None)
@given(words=WORDS.filter(bool), value=VALUES, escaped=st.booleans())
def test_it_keeps_arguments_valid_and_without_listed_words(words, value, escaped):
    arguments = encoded(value, escaped)
    said, _, _ = outcome(list(arguments), {"mask": words})
    masked = json.loads(said)
    for text, before in zip(texts(masked), texts(json.loads(arguments)), strict=False):
        if text != before:
            assert "*" in text
    for text in texts(masked):
        assert not plain_hits(normalise(text)[0], words), "in its unescaped form"


@settings(max_examples=300, deadline=None)
@given(words=WORDS.filter(bool), text=TEXTS, escaped=st.booleans())
def test_it_lets_no_blocked_word_out_unescaped(words, text, escaped):
    arguments = encoded(text, escaped)
    said, _, blocked = outcome(list(arguments), {"block": words})
    assert blocked or said == arguments
    if plain_hits(normalise(text)[0], words):
        assert blocked
    assert arguments.startswith(said)
    for length in range(len(said) + 1):
        readable = reduce(lambda seen, each: seen.replace(*each), [("\\u574f", "坏"), ("\\u4eba", "人")], said[:length])
        assert not any(word in readable for word in words if word in ("坏", "人", "坏人", "人坏"))


def texts(value):
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    if isinstance(value, dict):
        return [text for key, each in value.items() for text in (key, *texts(each))]
    return []


def test_it_reads_hostile_arguments_in_linear_time():
    said, output = given_arguments(["\\u574f" * 500] * 40, block=["坏" * 63 + "人"])
    assert not output.blocked
    assert said == "\\u574f" * 20_000
