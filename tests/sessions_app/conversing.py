"""Whole turns for tests of what sessions were: in the journal, then in the store, as the engine does it."""

from __future__ import annotations

import time

from engine.entries import Completion, Intent
from engine.turn import new_turn_id
from engine.types import Answerer, ChatRequest, Choice, Message


async def turn(store, principal, session_id, text, *, system=None, model="m", profile=None):
    """One turn that was acknowledged; the version it made."""
    turn_id = new_turn_id(time.time())
    asked = [*([Message("system", system)] if system else []), Message("user", text)]
    answer = Message("assistant", f"To {text}")
    request = ChatRequest(
        messages=asked, session_id=session_id, create_session=True, remember=True, user_profile=profile
    )
    session = await store.open(principal, request, turn_id)
    answerer = Answerer(model, 1, "v1")
    journal = store.journal
    await journal.intent(
        Intent(
            turn_id=turn_id, tenant_id=principal.tenant_id, at=time.time(), edge="rest", request_id="r",
            subject=principal.subject, user=session.home.user, key_id=principal.key_id, session_id=session_id,
            messages=asked, parent=session.version, profile=session.profile_brought,
        )
    )  # fmt: skip
    await journal.completion(
        Completion(
            turn_id=turn_id, tenant_id=principal.tenant_id, at=time.time(), state="completed", session_id=session_id,
            choices=[Choice(answer, "stop")], answerer=answerer,
        )
    )  # fmt: skip
    await store.append(session, [*asked, answer], answerer, turn_id)
    return session.version + 1
