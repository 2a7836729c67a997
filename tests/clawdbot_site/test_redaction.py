"""What is taken out of log lines, and what may be told of exceptions."""

import time

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, OperationalError
from hypothesis import given
from hypothesis import strategies as st

from clawdbot_site.redaction import LONGEST, REDACTED, SPARE, harmless, one_line, redactor, told
from engine.errors import UpstreamRejected
from tests.cast import ALICE

SAID = "my diagnosis is"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"key {ALICE.key} refused", ALICE.key),
        ("visitor cv_eyJhbGciOi.JIUzI1NiJ9.abcdef went", "JIUzI1NiJ9"),
        ("Incorrect API key provided: sk-proj-Abc_123-def456", "Abc_123"),
        ("Authorization: Bearer abc.def-123", "abc.def-123"),
        ("authorization: basic dXNlcjpwYXNz,", "dXNlcjpwYXNz"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl is old", "c2lnbmF0dXJl"),
        ("redis://:hunter2@cache:6379/0", "hunter2"),
        ("postgresql://app:p%40ss/w:rd@db/x", "p%40ss/w:rd"),
        ("redis://app:f1rst@sec@nd@cache:6379/0", "sec"),
        (f"eyJ{'x5c' * 700}.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "c2lnbmF0dXJl"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8"),
        ("AKIAIOSFODNN7EXAMPLE signed", "AKIAIOSFODNN7EXAMPLE"),
        ("GET /ws/chat?ticket=abcdef123456&x=1", "abcdef123456"),
        ('{"password": "correct horse"}', "correct"),
        ("api-key=0123456789abcdef", "0123456789abcdef"),
    ],
)
def test_it_takes_secrets_out_by_their_look(text, secret):
    cleaned = redactor()(text)
    assert secret not in cleaned and REDACTED in cleaned


def test_it_takes_out_the_values_of_settings_whatever_they_look_like():
    redact = redactor(["plain words here", "plain words", "short", ""])
    assert redact("a plain words here b plain words c short d") == f"a {REDACTED} b {REDACTED} c short d"


@pytest.mark.parametrize("text", ["prompt tokens: 12345678", "turn 0192 of key:7 took 3 s", "http://127.0.0.1:8000/x"])
def test_it_leaves_everything_else(text):
    assert redactor()(text) == text


def test_it_cuts_what_is_too_long():
    assert len(redactor()("x" * 100_000)) == LONGEST + 1


def test_a_secret_at_the_cut_is_taken_out_whole():
    assert "half of" not in redactor(["half of a secret"])("x" * (LONGEST - 7) + "half of a secret")


@pytest.mark.parametrize("end", ["half of a secret", "half of", "Bearer abcdef"])
def test_what_is_taken_out_brings_no_cut_secret_into_sight(end):
    text = f"Bearer {'a' * 6_000} "
    text += "." * (LONGEST + SPARE - len(end) - len(text)) + end
    cleaned = redactor(["half of a secret"])(text + "-and-more" * 100)
    assert "half" not in cleaned and "abc" not in cleaned and len(cleaned) < LONGEST


@pytest.mark.parametrize(
    "text",
    [
        "a-" * 6_000,
        "a." * 6_000,
        "a" * 12_000,
        "a://b:" * 2_000,
        "a://b:" + "c@" * 5_900,
        "token " * 2_000,
        "eyJaaaaaa-" * 1_300,
    ],
)
def test_no_text_takes_long(text):
    began = time.process_time()
    redactor()(text)
    assert time.process_time() - began < 0.15  # unbounded, 0.2 to 0.6


@given(st.text())
def test_no_text_begins_a_new_line(text):
    line = one_line(text)
    assert len(line.splitlines()) <= 1 and "\x1b" not in line


def bad_number():
    return int(f"{SAID} 1")


def missing_name():
    return {}[SAID]


def undecodable():
    return f"{SAID} é".encode("ascii")


@pytest.mark.parametrize("make", [bad_number, missing_name, undecodable])
def test_it_tells_of_exceptions_nothing_they_may_quote(make):
    with pytest.raises(Exception) as caught:
        make()
    assert SAID not in told(caught.value) and type(caught.value).__name__ in told(caught.value)


def test_it_tells_what_is_of_the_machine_or_the_program():
    assert told(OSError(28, "No space left on device")) == "OSError: [Errno 28] No space left on device"
    assert told(OperationalError("database is locked")) == "OperationalError: database is locked"
    assert told(ImproperlyConfigured("PORT: 'x' is not a whole number")).endswith("is not a whole number")
    assert told(AttributeError("'A' object has no attribute 'b'")).startswith("AttributeError: 'A'")


def test_it_tells_no_rows_of_a_database_and_no_words_of_a_model():
    refused = IntegrityError(f"duplicate key value violates x\nDETAIL:  Key (text)=({SAID}) already exists.")
    assert told(refused) == "IntegrityError: duplicate key value violates x"
    assert told(UpstreamRejected(f"Invalid: {SAID}")) == f"UpstreamRejected [{UpstreamRejected.code}]"


def test_arguments_that_are_exceptions_are_told_like_them():
    assert harmless(7) == 7 and harmless("x") == "x"
    assert SAID not in harmless(ValueError(SAID))
    assert SAID not in str(harmless([ValueError(SAID), 1]))
