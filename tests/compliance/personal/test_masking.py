"""What a model is sent of a turn with personal data in it."""

import json

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from compliance.personal.scanning import NAMES, Scanner
from engine.types import ChatRequest, Delta, Message
from tests.cast import ALICE, CHARLIE
from tests.compliance.personal.texts import CARD, IDENTITY, MAIL, MOBILE, OTHER_MOBILE, VALUES, folded, masked, privacy


def test_it_numbers_values_by_kind_as_they_come():
    sent, _, restorer = masked(f"{MOBILE}和{OTHER_MOBILE}", f"{MAIL}, {OTHER_MOBILE}, {IDENTITY}, {CARD}")
    assert sent == ["[PHONE_1]和[PHONE_2]", "[EMAIL_1], [PHONE_2], [ID_1], [CARD_1]"]
    assert restorer.counts == {"phone": 2, "email": 1, "id_cn": 1, "card": 1}


def test_one_value_is_the_same_however_it_is_written():
    sent, _, restorer = masked("138-1234-5678 13812345678 １３８１２３４５６７８", "Bob@Example.com bob@example.com")
    assert sent == ["[PHONE_1] [PHONE_1] [PHONE_1]", "[EMAIL_1] [EMAIL_1]"]
    assert restorer.counts == {"phone": 1, "email": 1}
    assert masked("a.b@x.com ab@x.com")[0] == ["[EMAIL_1] [EMAIL_2]"]


@pytest.mark.parametrize("pair", ["strauß@x.com strauss@x.com", "ıx@x.com ix@x.com"])
def test_letters_that_are_alike_in_upper_case_only_are_two(pair):
    sent, _, restorer = masked(pair)
    assert sent == ["[EMAIL_1] [EMAIL_2]"]
    assert restorer.feed(Delta(content=sent[0])) == Delta(content=pair)


def test_it_leaves_turns_without_any_alone():
    messages = [Message("user", "Hello 2024-01-02"), Message("user", [{"type": "text", "text": "[PHONE_1]"}])]
    request = ChatRequest(messages=messages, tools=[{"type": "function", "function": {"name": "f"}}])
    found, counted = privacy()
    sent, same, restorer = found.mask(ALICE.principal, messages, request)
    assert sent is messages and same is request and restorer is None and not counted


def test_it_does_so_for_tenants_that_want_it_only():
    found, counted = privacy("phone")
    messages = [Message("user", f"{MOBILE} {MAIL}")]
    assert found.mask(CHARLIE.principal, messages, ChatRequest(messages=messages))[2] is None
    sent, _, _ = found.mask(ALICE.principal, messages, ChatRequest(messages=messages))
    assert sent[0].content == f"[PHONE_1] {MAIL}" and counted == {"phone": 1}


def test_it_masks_everything_a_model_reads():
    call = {"id": "c1", "type": "function", "function": {"name": "dial", "arguments": json.dumps({"to": MOBILE})}}
    messages = [
        Message("system", f"Clerk {MAIL}"),
        Message("user", [{"type": "text", "text": MOBILE}, {"type": "image_url", "image_url": {"url": f"x:{MOBILE}"}}],
                name=MAIL),
        Message("assistant", None, tool_calls=[call], reasoning_content=f"so {MOBILE}", refusal=f"no {MOBILE}"),
        Message("tool", json.dumps({"of": [MOBILE]}), tool_call_id="c1"),
    ]  # fmt: skip
    tools = [{"type": "function", "function": {"name": "dial", "description": f"not {MOBILE}", "parameters": {
        "type": "object", "properties": {"to": {"type": "string", "default": MAIL}}}}}]  # fmt: skip
    sent, request, _ = masked(*messages, tools=tools, params={"stop": [MOBILE]}, user_profile={"phone": MOBILE})
    encoded = msgspec.json.encode([sent, request]).decode()
    assert encoded.replace(f"x:{MOBILE}", "").count(MOBILE) == 0 and MAIL not in encoded
    assert sent[1].content[1]["image_url"]["url"] == f"x:{MOBILE}"
    assert json.loads(sent[2].tool_calls[0]["function"]["arguments"]) == {"to": "[PHONE_1]"}
    assert request.params == {"stop": ["[PHONE_1]"]} and sent[1].name == "[EMAIL_1]"


ARGUMENTS = [
    ('{"to":13812345678,"n":1.50}', '{"to":"[PHONE_1]","n":1.50}'),
    ('{"13812345678": [13812345678, true]}', '{"[PHONE_1]": ["[PHONE_1]", true]}'),
    ('{"to":"\\u0031\\u00338\\u002d1234-5678\\n"}', '{"to":"[PHONE_1]\\n"}'),
    ('{"a":"x\\n13812345678"}', '{"a":"x\\n[PHONE_1]"}'),
    ('{"a":"{\\"b\\": 13812345678}"}', '{"a":"{\\"b\\": \\"[PHONE_1]\\"}"}'),
    ("13812345678", '"[PHONE_1]"'),
    ('"13812345678"', '"[PHONE_1]"'),
    ('{"to": "13812345678', '{"to": "[PHONE_1]'),
    ("{'to': '138-1234-5678'}", "{'to': '[PHONE_1]'}"),
    ('{"a": "caf\\u00e9", "to": "13812345678"}', '{"a": "caf\\u00e9", "to": "[PHONE_1]"}'),
    ('{"a": "\\ud800 13812345678 中"}', '{"a": "\\ud800 [PHONE_1] \\u4e2d"}'),
    ('{"n": 1e400, "big": ' + "9" * 30 + "}", None),
]


@pytest.mark.parametrize(("raw", "expected"), ARGUMENTS)
def test_arguments_stay_the_json_they_were(raw, expected):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": raw}}
    (sent,), _, _ = masked(Message("assistant", None, tool_calls=[call]))
    assert sent.tool_calls[0]["function"]["arguments"] == (raw if expected is None else expected)


def test_it_reads_text_parts_as_one():
    parts = [{"type": "text", "text": text} for text in ("tel 1381", "2345", "678, mail bob@exa", "mple.com!", MOBILE)]
    (sent,), _, restorer = masked(parts)
    texts = [part["text"] for part in sent]
    assert texts == ["tel [PHONE_1]", "", ", mail [EMAIL_1]", "!", "[PHONE_1]"]
    assert restorer.counts == {"phone": 1, "email": 1}


def test_a_value_at_a_seam_is_found_by_itself_too():
    parts = [{"type": "text", "text": text} for text in (f"tel {MOBILE}", "9 pm")]
    (sent,), _, _ = masked(parts)
    assert [part["text"] for part in sent] == ["tel [PHONE_1]", "9 pm"]


def test_a_placeholder_somebody_typed_is_nobodys():
    """Its number is not given away, wherever it stands and however it is written."""
    for typed in ("[PHONE_1]", "[phone_1]", "【Phone_1】", "［PHONE_1]"):
        assert masked(MOBILE, f"what is {typed}?")[0] == ["[PHONE_2]", f"what is {typed}?"]
        assert masked(f"{typed} {MOBILE} [PHONE_3]", OTHER_MOBILE)[0] == [f"{typed} [PHONE_2] [PHONE_3]", "[PHONE_4]"]
    assert masked(MAIL, "[PHONE_1]")[0] == ["[EMAIL_1]", "[PHONE_1]"]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":"\\u005bPHONE_1]"}'}}
    assert masked(MOBILE, Message("assistant", None, tool_calls=[call]))[0][0] == "[PHONE_2]"
    assert masked([{"type": "text", "text": "[PHONE_1] 1381"}, {"type": "text", "text": "2345678"}])[0][0][0] == {
        "type": "text", "text": "[PHONE_1] [PHONE_2]",
    }  # fmt: skip


SIGNS = ["，", " ", "[PHONE_1]", "[", "]", "1", "x", "[EMAIL_2]", "\n", "_", "号码", "-", ".", "@", "(", "A"]
PIECES = st.sampled_from([*VALUES, "+86 138 1234 5678", "(010)62345678", "A123456(3)", *SIGNS])


@settings(deadline=None)
@given(st.lists(st.lists(PIECES, max_size=6), min_size=1, max_size=4))
def test_what_is_masked_is_restored_and_nothing_else(pieces):
    """A model that writes back what it reads gives everybody their own words."""
    texts = ["".join(each) for each in pieces]
    sent, _, restorer = masked(*texts)
    if restorer is None:
        assert sent == texts
        return
    for text, masked_text in zip(texts, sent, strict=True):
        fresh = masked(*texts)[2]
        assert folded(fresh, [Delta(content=masked_text)]).content == text


@settings(deadline=None)
@given(st.lists(PIECES, max_size=12), st.lists(st.integers(0, 200), max_size=3))
@example([*["13812345678"] * 5, "_", "13812345678", "_", "bob@example.com"], [])
def test_nothing_is_left_to_find(pieces, cuts):
    """Whole, and cut into text parts anywhere."""
    text = "".join(pieces)
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    parts = [{"type": "text", "text": text[a:b]} for a, b in zip(edges, edges[1:], strict=False)]
    (whole,), _, _ = masked(text)
    (cut,), _, _ = masked(parts)
    for sent in (whole, "".join(part["text"] for part in cut), *(part["text"] for part in cut)):
        assert Scanner(NAMES).find(sent) == [], sent


def test_vectors_do_not_depend_on_their_neighbours():
    found, counted = privacy()
    texts, counts = found.mask_each(ALICE.principal, [f"a {MOBILE}", f"b {OTHER_MOBILE} {MOBILE}", "c"])
    assert texts == ["a [PHONE_1]", "b [PHONE_1] [PHONE_2]", "c"]
    assert counts == counted == {"phone": 3}
    assert found.mask_each(CHARLIE.principal, [MOBILE]) == ([MOBILE], {})
