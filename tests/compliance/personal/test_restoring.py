"""What a client gets of an answer with placeholders in it, however it is cut."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.personal.restoring import Restorer
from engine.types import Delta
from tests.compliance.personal.texts import MAIL, MOBILE, folded

VALUES = {"PHONE_1": MOBILE, "PHONE_12": "13900000012", "EMAIL_1": MAIL}
WHOLE = {
    **{f"[{key}]": value for key, value in VALUES.items()},
    "[phone_1]": MOBILE,
    "【Email_1】": MAIL,
    "［PHONE_12］": "13900000012",
}
OTHERS = [
    "[PHONE_2]",
    "[PHONE_1",
    "[PHONE_",
    "[PH",
    "[",
    "]",
    "[[",
    "【",
    "x",
    "_1]",
    "中",
    "[PHONE_1234567]",
    "[ID_1]",
]
TEXTS = st.lists(st.sampled_from([*WHOLE, *OTHERS, "\\", '"']), max_size=8)
CUTS = st.lists(st.integers(0, 80), max_size=10)


def restorer():
    return Restorer(VALUES, {"phone": 2, "email": 1})


def pieces(text, cuts):
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[start:end] for start, end in zip(edges, edges[1:], strict=False)]


def expected(text):
    for placeholder, value in WHOLE.items():
        text = text.replace(placeholder, value)
    return text


def make_content(piece):
    return Delta(content=piece)


def make_reasoning(piece):
    return Delta(reasoning=piece)


def make_refusal(piece):
    return Delta(refusal=piece)


def make_arguments(piece):
    return Delta(tool_calls=[{"index": 0, "function": {"arguments": piece}}])


def make_name(piece):
    return Delta(tool_calls=[{"index": 0, "function": {"name": piece}}])


def arguments_of(message):
    return message.tool_calls[0]["function"]["arguments"] if message.tool_calls else ""


READ = {
    make_content: lambda message: message.content or "",
    make_reasoning: lambda message: message.reasoning_content or "",
    make_refusal: lambda message: message.refusal or "",
    make_arguments: arguments_of,
}


@settings(max_examples=300, deadline=None)
@given(parts=TEXTS, cuts=CUTS, make=st.sampled_from(list(READ)))
def test_it_says_the_same_however_a_text_is_cut(parts, cuts, make):
    text = "".join(parts)
    for cut in ([text], pieces(text, cuts), list(text)):
        assert READ[make](folded(restorer(), [make(piece) for piece in cut])) == expected(text)


@settings(deadline=None)
@given(parts=TEXTS, cuts=CUTS)
def test_it_holds_back_only_what_can_become_a_placeholder(parts, cuts):
    text = "".join(parts)
    fresh, fed, sent = restorer(), "", ""
    for piece in pieces(text, cuts):
        delta = fresh.feed(Delta(content=piece))
        fed += piece
        sent += (delta.content or "") if delta is not None else ""
        places = [place for place in range(len(fed)) if fed[place] in "[［【"]
        held = [place for place in places if any(key.startswith(fed[place + 1 :].upper()) for key in VALUES)]
        assert sent == expected(fed[: held[0]] if held else fed)


def test_an_end_without_its_end_leaves_as_it_is():
    fresh = restorer()
    assert fresh.feed(Delta(content="call [PHONE_1")) == Delta(content="call ")
    assert fresh.flush() == [Delta(content="[PHONE_1")]
    assert fresh.flush() == []


def test_texts_of_an_answer_do_not_mix():
    fresh = restorer()
    assert fresh.feed(Delta(content="[PHO", reasoning="[EMA")) is None
    assert fresh.feed(Delta(content="NE_1]", index=1)) == Delta(content="NE_1]", index=1)
    assert fresh.feed(Delta(content="NE_1]")) == Delta(content=MOBILE)
    assert fresh.feed(Delta(reasoning="IL_1]", index=0)) == Delta(reasoning=MAIL)


def test_values_in_arguments_are_json():
    fresh = Restorer({"EMAIL_1": 'a"b\\c@x.com'}, {})
    whole = json.dumps({"to": "[EMAIL_1]", "also": ["<[email_1]>"]})
    for cut in ([whole], list(whole)):
        fresh = Restorer({"EMAIL_1": 'a"b\\c@x.com'}, {})
        message = folded(fresh, [make_arguments(piece) for piece in cut])
        assert json.loads(arguments_of(message)) == {"to": 'a"b\\c@x.com', "also": ['<a"b\\c@x.com>']}


def test_names_and_ids_of_calls_are_restored():
    fragments = [
        {"index": 0, "id": "[PHONE_1]", "type": "function", "function": {"name": "dial_[PHO", "arguments": ""}},
        {"index": 0, "function": {"name": "NE_1]"}},
        {"index": 0, "function": {"arguments": "{}"}},
        {"index": 1, "id": "b", "type": "custom", "custom": {"name": "f", "input": "to [PHONE_1]"}},
    ]
    message = folded(restorer(), [Delta(tool_calls=[each]) for each in fragments])
    assert message.tool_calls[0] == {
        "id": MOBILE, "type": "function", "function": {"name": f"dial_{MOBILE}", "arguments": "{}"}
    }  # fmt: skip
    assert message.tool_calls[1]["custom"]["input"] == f"to {MOBILE}"


def test_a_name_ends_where_arguments_begin():
    fresh = restorer()
    assert fresh.feed(make_name("f[PH")) == make_name("f")
    last = fresh.feed(make_arguments("{}"))
    assert last.tool_calls[0]["function"] == {"arguments": "{}", "name": "[PH"}


@pytest.mark.parametrize("text", ["[PHONE_1]", "[PH", "x"])
def test_log_probabilities_leave_only_with_what_leaves_as_it_came(text):
    entry = {"content": [{"token": text, "logprob": -0.1}]}
    delta = restorer().feed(Delta(content=text, logprobs=entry))
    assert (delta is not None and delta.logprobs == entry) is (text == "x")


def test_an_empty_delta_stays():
    assert restorer().feed(Delta(content="")) == Delta(content="")
    assert restorer().feed(Delta()) == Delta()
