"""What of an answer is read although it is no text for people."""

import json

import pytest

from adapters.openai_answers import Answer


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("fp_44709d6fcb", "fp_44709d6fcb"),
        ("b6942-a1b2c3:Q4.K", "b6942-a1b2c3:Q4.K"),
        ("some words for people", None),
        ("你好", None),
        ("", None),
        ("a" * 65, None),
        ("fp_1\n", None),
    ],
)
def test_it_keeps_a_fingerprint_only_if_it_is_one(said, kept):
    answer = Answer()
    answer.read(
        json.dumps(
            {"system_fingerprint": said, "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}
        ).encode()
    )
    assert answer.end().system_fingerprint == kept
