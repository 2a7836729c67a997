import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.types import ChatRequest, Message
from routing.features import Features, complexity_score, conversation_score
from tests.cast import ALICE

NOON = 1_700_049_600.0  # 2023-11-15 12:00 UTC


def recorded(known, reads=()):
    """The features of its record."""
    return known.record(reads)["features"]


def features(messages=None, found=None, **fields):
    messages = messages or [Message(role="user", content="Hello")]
    return Features(ALICE.principal, ChatRequest(messages=messages, **fields), messages, found or {}, NOON)


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("model", {}, "auto"),
        ("model", {"model": "gpt-4"}, "gpt-4"),
        ("max_tokens", {}, None),
        ("max_tokens", {"max_tokens": 5}, 5),
        ("temperature", {"temperature": 0.0}, 0.0),
        ("stream", {"stream": True}, True),
        ("has_tools", {"tools": [{"type": "function"}]}, True),
        ("has_tools", {}, False),
        ("language", {"language": "zh-CN"}, "zh"),
        ("language", {}, None),
        ("user", {}, "1"),
        ("user", {"user": "u-7"}, "u-7"),
        ("hour", {}, 12),
        ("metadata.plan", {"metadata": {"plan": "gold"}}, "gold"),
        ("metadata.plan", {}, None),
        ("metadata.tags", {"metadata": {"tags": ["a", 1, {"b": 2}, None, ["c"]]}}, ["a", 1]),
        ("metadata.deep", {"metadata": {"deep": {"a": 1}}}, None),
        ("metadata.long", {"metadata": {"long": "x" * 257}}, None),
        ("metadata.nul", {"metadata": {"nul": "a\0b"}}, None),
        ("metadata.huge", {"metadata": {"huge": 2**63}}, None),
        ("metadata.nan", {"metadata": {"nan": float("nan")}}, None),
        ("metadata.on", {"metadata": {"on": False}}, False),
        ("header.x-team", {"headers": [(b"x-team", b"a")]}, "a"),
        ("header.x-team", {"headers": [(b"X-Team", b"a"), (b"x-other", b"b"), (b"x-team", b"c")]}, "a, c"),
        ("header.x-team", {"headers": [(b"x-team", "Zoë".encode("latin-1"))]}, "Zoë"),
        ("header.x-team", {"headers": [(b"x-team", b"\xff\x00")]}, None),
        ("header.x-team", {"headers": [(b"x-team", b"x" * 257)]}, None),
        ("header.x-team", {}, None),
        ("no_such_field", {}, None),
    ],
)
def test_it_reads_a_request(name, fields, expected):
    assert features(**fields)[name] == expected


def test_it_puts_first_what_plugins_found():
    known = features(found={"language": "ja", "intent": "refund", "intent_score": 0.9}, language="en")
    assert (known["language"], known["intent"], known["intent_score"]) == ("ja", "refund", 0.9)


def test_it_ignores_what_plugins_found_in_a_wrong_shape():
    known = features(found={"language": ["ja"], "intent": 5, "intent_score": "high"})
    assert (known["language"], known["intent"], known["intent_score"]) == (None, None, None)


def test_it_sees_images_and_scores_the_last_words_of_the_user():
    parts = [
        {"type": "text", "text": "Prove the theorem step by step"},
        {"type": "image_url", "image_url": {"url": "x"}},
    ]
    known = features([Message(role="user", content=parts), Message(role="assistant", content="ok")])
    assert known["has_images"] is True
    assert known["complexity_score"] > 0.5


def test_it_records_every_feature_there_is():
    record = recorded(features(max_tokens=7, language="zh-CN", found={"intent": "refund"}, stream=True))
    assert record == {
        "model": "auto", "max_tokens": 7, "stream": True, "prompt_tokens": 6, "language": "zh", "intent": "refund",
        "has_tools": False, "has_images": False, "user": "1", "hour": 12, "complexity_score": complexity_score("Hello"),
    }  # fmt: skip
    assert type(record) is dict


def test_it_records_metadata_and_headers_that_hold_no_secret():
    headers = [
        (b"host", b"example.com"), (b"authorization", b"Bearer cb_1"), (b"x-team", b"a"), (b"x-team", b"b"),
        (b"x-api-key", b"cb_1"), (b"x-csrf-token", b"t"), (b"x-stainless-lang", b"python"), (b"x-request-id", b"r"),
        (b"x-forwarded-for", b"10.0.0.1"), (b"x-real-ip", b"10.0.0.1"), (b"x-session-id", b"s"), (b"referer", b"here"),
        (b"x-client-ip", b"10.0.0.1"), (b"x-\xff", b"a"), (b"x-" + b"n" * 80, b"a"), (b"x-long", b"x" * 257),
    ]  # fmt: skip
    metadata = {"plan": "gold", "tags": ["a", "b"], "deep": {"a": 1}, "none": None, "long": "x" * 257, "n": 3}
    known = features(headers=headers, metadata=metadata)
    record = recorded(known, ["header.referer", "header.absent", "metadata.absent"])
    assert {name: value for name, value in record.items() if "." in name} == {
        "header.referer": "here", "header.x-team": "a, b",
        "metadata.plan": "gold", "metadata.tags": ["a", "b"], "metadata.n": 3,
    }  # fmt: skip
    assert not {name for name in recorded(features(headers=headers)) if "referer" in name}


def test_it_keeps_within_bounds_whatever_it_is_given():
    hostile = {
        **{f"k{number}": number for number in range(1000)},
        "k" * 10_000: 1,
        "asked": "yes",
    }
    headers = [(b"x-%d" % number, b"v") for number in range(1000)]
    record = recorded(features(metadata=hostile, headers=headers), ["metadata.asked", "header.x-999"])
    assert sum(name.startswith("metadata.") for name in record) == 64
    assert sum(name.startswith("header.") for name in record) == 16
    assert record["metadata.asked"] == "yes" and record["header.x-999"] == "v"
    large = {f"{number}": ["x" * 256] * 1000 for number in range(100)}
    assert len(json.dumps(features(metadata=large).record())) < 20_000
    assert "metadata." + "k" * 10_000 not in recorded(features(metadata={"k" * 10_000: 1}))


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ),
    ),
    st.lists(st.tuples(st.binary(max_size=8).map(b"x-".__add__), st.binary(max_size=8))),
)
def test_it_records_what_conditions_read_and_json_can_hold(metadata, headers):
    known = features(metadata=metadata, headers=headers)
    record = recorded(known)
    assert json.loads(msgspec.json.encode(record)) == json.loads(json.dumps(record, allow_nan=False))
    again = features(metadata=metadata, headers=headers)
    assert all(again[name] == value for name, value in record.items())


@pytest.mark.parametrize(
    ("metadata", "headers", "cut"),
    [
        ({"plan": "gold", "deep": {"a": 1}, "long": "x" * 257}, [(b"x-team", b"a"), (b"x-long", b"x" * 257)], []),
        ({"large": ["x" * 256] * 40, "plan": "gold"}, [], ["metadata.large"]),
        ({f"large{number}": ["x" * 256] * 20 for number in range(20)}, [], ["metadata."]),
        ({"k" * 300: 1}, [], ["metadata."]),
        ({f"k{number}": number for number in range(64)}, [], []),
        ({f"k{number}": number for number in range(65)}, [], ["metadata."]),
        ({}, [(b"x-%d" % number, b"v") for number in range(17)], ["header.x-16"]),
        ({}, [(b"x-%d" % number, b"v") for number in range(99)], ["header."]),
    ],
)
def test_it_says_what_a_record_has_no_room_for(metadata, headers, cut):
    assert features(metadata=metadata, headers=headers).record().get("cut", []) == cut


def test_it_says_which_fields_of_rules_were_absent_where_that_cannot_be_told_otherwise():
    reads = ["header.team", "header.x-geo-ip", "header.x-team", "metadata.plan"]
    assert features().record(reads)["absent"] == ["header.team", "header.x-geo-ip"]
    there = features(headers=[(b"team", b"a"), (b"x-geo-ip", b"::1")], metadata={"n": 1}).record(reads)
    assert "absent" not in there
    many = {f"k{number}": number for number in range(65)}
    assert features(metadata=many).record(reads)["absent"] == ["header.team", "header.x-geo-ip", "metadata.plan"]


HARD = "Prove that the algorithm terminates, derive its complexity and design a test for every branch."
EASY = "What is the capital of France, and which river flows through Paris?"


def said(*texts):
    """The user's messages, each answered but the last."""
    turns = [
        Message(role=role, content=text) for text in texts for role, text in (("user", text), ("assistant", "Ok."))
    ]
    return features(turns[:-1])["complexity_score"]


@pytest.mark.parametrize(
    "follow_up",
    [
        "commit it",
        "go on",
        "yes",
        "Please commit that and push it to the main branch.",
        "提交吧",
        "继续，然后把它提交到主分支",
    ],
)
def test_it_stays_with_a_hard_question_while_the_user_follows_up(follow_up):
    assert complexity_score(follow_up) < 0.3
    assert said(HARD, follow_up) == said(HARD, follow_up, follow_up) == said(HARD) > 0.8
    assert said(EASY, follow_up) < 0.3


def test_it_rises_at_once():
    assert said(EASY, EASY, "hi", HARD) == complexity_score(HARD)


def test_it_falls_slowly_with_other_subjects():
    scores = [said(HARD, *[EASY] * count) for count in range(9)]
    assert scores == sorted(scores, reverse=True)
    assert 0.8 > scores[1] > 0.7 > scores[3] > 0.3 > scores[5]
    assert scores[8] == complexity_score(EASY)


def test_it_forgets_what_is_far_back():
    assert said(HARD, *["go on"] * 7) > 0.8
    assert said(HARD, *["go on"] * 8) < 0.3


def test_it_asks_the_user_alone_and_passes_over_what_has_no_words():
    image = [{"type": "image_url", "image_url": {"url": "x"}}]
    turns = [("system", HARD), ("user", EASY), ("assistant", HARD), ("tool", HARD), ("user", image), ("user", " ")]
    asked = features([Message(role=role, content=content) for role, content in turns])
    assert asked["complexity_score"] == complexity_score(EASY)
    assert conversation_score([]) == features([Message(role="system", content=HARD)])["complexity_score"] == 0.0
