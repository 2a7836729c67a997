import pytest

from engine.types import ChatRequest, Message
from routing.features import Features
from tests.cast import ALICE

NOON = 1_700_049_600.0  # 2023-11-15 12:00 UTC


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
        ("no_such_field", {}, None),
    ],
)
def test_it_reads_a_request(name, fields, expected):
    assert features(**fields)[name] == expected


def test_it_puts_first_what_plugins_found():
    known = features(found={"language": "ja", "intent": "refund"}, language="en")
    assert (known["language"], known["intent"]) == ("ja", "refund")


def test_it_ignores_what_plugins_found_in_a_wrong_shape():
    known = features(found={"language": ["ja"], "intent": 5})
    assert (known["language"], known["intent"]) == (None, None)


def test_it_sees_images_and_scores_the_last_words_of_the_user():
    parts = [
        {"type": "text", "text": "Prove the theorem step by step"},
        {"type": "image_url", "image_url": {"url": "x"}},
    ]
    known = features([Message(role="user", content=parts), Message(role="assistant", content="ok")])
    assert known["has_images"] is True
    assert known["complexity_score"] > 0.5


def test_it_holds_only_what_was_asked_for():
    known = features(max_tokens=7)
    assert set(known) == {"prompt_tokens"}
    known["max_tokens"], known["temperature"]
    assert known.used() == {"prompt_tokens": known["prompt_tokens"], "max_tokens": 7}
