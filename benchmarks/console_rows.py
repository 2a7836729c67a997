"""Rows for `benchmarks.consoles`: `python -m benchmarks.console_rows KEYS MEMBERS ENTRIES` fills the databases of
VAR_DIR and prints what signs in where.

One tenant, `big`, has all keys, members and journal entries: pages are slowest for who has most. The journal's entries
are written as its writer writes them, without the writer: two an answered turn, spread over 90 days, newest last."""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import time
from collections.abc import Iterator

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.cache import SessionStore
from django.db import transaction

from benchmarks import rows  # sets Django up
from compliance.journal.records import COLUMNS, Row, completion_row, intent_row
from engine.entries import Completion, Intent
from engine.types import Choice, Message, Usage
from tenants import keys
from tenants.models import ApiKey, Member, Tenant, User
from tenants.services import create_tenant

BATCH = 5000
DAYS = 90
MODELS = ("gpt-3.5-turbo", "llama2-70b", "qwen-max", "deepseek-chat")
STATES = ("completed",) * 95 + ("failed", "failed", "cancelled", "aborted", "refused")


def main() -> None:
    key_count, member_count, entry_count = map(int, sys.argv[1:4])
    rows.migrate()
    tenant = create_tenant(slug="big", name="Big")
    operator = User.objects.create_superuser("operator", password=None)
    owner = User.objects.create_user("owner", password=None)
    Member(tenant=tenant, user=owner, role="owner").save()
    _keys(tenant, key_count)
    _members(tenant, member_count)
    _entries(tenant.pk, entry_count)
    print(json.dumps({"admin": _session(operator), "console": _session(owner)}))


def _session(user: User) -> str:
    """A web session of somebody who has signed in."""
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return str(session.session_key)


def _keys(tenant: Tenant, count: int) -> None:
    for first in range(0, count, BATCH):
        with transaction.atomic():
            ApiKey.objects.bulk_create(
                ApiKey(tenant=tenant, name=f"key {number}", digest=keys.digest(f"cb_{number}"), hint=f"cb_{number:07x}")
                for number in range(first, min(first + BATCH, count))
            )


def _members(tenant: Tenant, count: int) -> None:
    for first in range(0, count, BATCH):
        with transaction.atomic():
            people = User.objects.bulk_create(
                User(username=f"person{number}", email=f"person{number}@example.com", password="!")
                for number in range(first, min(first + BATCH, count))
            )
            Member.objects.bulk_create(Member(tenant=tenant, user=person) for person in people)


def _entries(tenant_id: int, count: int) -> None:
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    marks = ", ".join("?" * len(COLUMNS))
    with sqlite3.connect(settings.DATABASES["journal"]["NAME"]) as database:
        database.execute("PRAGMA synchronous=OFF")
        database.executemany(
            f"INSERT INTO compliance_auditentry ({names}) VALUES ({marks})",  # noqa: S608
            _turns(tenant_id, count // 2),
        )


def _turns(tenant_id: int, count: int) -> Iterator[Row]:
    chance, now = random.Random(7), time.time()
    asked = [Message(role="user", content="What is the capital of France?")]
    answered = [Choice(message=Message(role="assistant", content="Paris."), finish_reason="stop")]
    for number in range(count):
        at = now - DAYS * 86400 * (1 - number / count)
        turn_id = f"{int(at * 1000):012x}{number:020x}"
        model, state, key_id = chance.choice(MODELS), chance.choice(STATES), chance.randrange(1, 1000)
        user = f"key:{key_id}"
        yield intent_row(
            Intent(
                turn_id=turn_id, tenant_id=tenant_id, at=at, edge="rest", request_id=turn_id, subject=user, user=user,
                key_id=key_id, session_id=None, model=model, instance=model, messages=asked,
            ),
            "bench",
        )  # fmt: skip
        yield completion_row(
            Completion(
                turn_id=turn_id, tenant_id=tenant_id, at=at + 1, state=state, model=model, instance=model,
                choices=answered, usage=Usage(prompt_tokens=9, completion_tokens=3), ttft=0.2, duration=1.0,
            ),
            "bench",
        )  # fmt: skip


if __name__ == "__main__":
    main()
