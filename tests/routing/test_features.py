import pytest

from engine.types import ChatRequest, Message
from routing.features import Features, complexity_score, conversation_score
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
