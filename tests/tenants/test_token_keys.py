"""One key after the other, and nobody is signed out meanwhile."""

from __future__ import annotations

import time

import pytest

from engine.errors import Unauthenticated
from tenants.token_keys import AGAIN, TokenKeys
from tenants.tokens import TokenVerifier, signed
from tenants.visitor_tickets import VisitorTickets

OLD, NEW = "o1d-" * 12, "n3w-" * 12


def options(keys):
    return {"ALGORITHM": "HS256", "KEYS": keys, "ISSUER": "clawdbot", "AUDIENCE": "clawdbot-api"}


def claims():
    now = int(time.time())
    return {"iat": now, "exp": now + 900, "jti": "1", "token_type": "access", "member": 1, "tenant": "acme"}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_first_key_signs_and_all_are_believed():
    old, both = signed(claims(), options(TokenKeys([OLD]))), options(TokenKeys([NEW, OLD]))
    assert TokenVerifier(both).verify(old).member == 1
    new = signed(claims(), both)
    assert TokenVerifier(options(TokenKeys([NEW]))).verify(new).member == 1
    with pytest.raises(Unauthenticated):
        TokenVerifier(options(TokenKeys([NEW]))).verify(old)


def test_a_process_learns_of_keys_while_it_runs_and_forgets_what_it_believed(tmp_path):
    file, clock = tmp_path / "jwt_key", Clock()
    file.write_text(OLD)
    keys = TokenKeys([OLD], file, clock=clock)
    verifier, tickets = TokenVerifier(options(keys)), VisitorTickets(options(keys))
    token = signed(claims(), options(keys))
    ticket = tickets.issue(tenant="acme", visitor="anon-1", life=600)
    for text, good in ((f"{OLD},{NEW}", True), (f" {NEW} , {OLD}\n", True), ("", True), (NEW, False), (OLD, True)):
        file.write_text(text)
        clock.now += AGAIN
        for check in (lambda: verifier.verify(token), lambda: tickets.verify(ticket)):
            if good:
                check()
            else:
                with pytest.raises(Unauthenticated):
                    check()


def test_a_file_that_is_away_says_what_it_said(tmp_path, caplog):
    file, clock = tmp_path / "jwt_key", Clock()
    file.write_text(NEW)
    keys = TokenKeys([OLD], file, clock=clock)
    assert keys.all() == (NEW,)
    file.unlink()
    clock.now += AGAIN
    assert keys.all() == (NEW,)
    assert "JWT_KEY_FILE" in caplog.text and NEW not in caplog.text


def test_half_a_key_is_none(tmp_path, caplog):
    """What a reader finds while somebody writes: anybody could sign with three letters."""
    file, clock = tmp_path / "jwt_key", Clock()
    file.write_text(OLD)
    keys = TokenKeys([OLD], file, clock=clock)
    before = keys.all()
    for text in (OLD[:3], f"{OLD},{NEW[:31]}", f"{NEW[:1]},{OLD}", ",", " "):
        file.write_text(text)
        clock.now += AGAIN
        assert keys.all() is before
    assert "too short" in caplog.text and OLD[:3] not in caplog.text
    file.write_text(f"{OLD},{NEW}")
    clock.now += AGAIN
    assert keys.all() == (OLD, NEW)


def test_it_looks_at_the_file_once_a_second(tmp_path):
    file, clock = tmp_path / "jwt_key", Clock()
    file.write_text(NEW)
    keys = TokenKeys([OLD], file, clock=clock)
    first = keys.all()
    file.write_text(OLD)
    assert keys.all() is first
    clock.now += AGAIN
    assert keys.all() == (OLD,)
