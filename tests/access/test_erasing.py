"""A user is erased: what they said is nowhere, in no file, and what others said is everywhere."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db import connections

from access import auditing, erasing
from access.erasure_requests import prepare_erasure
from compliance.journal import reader
from compliance.journal.listing import Filters
from compliance.journal.records import intent_row
from compliance.journal.signing import platform_signer
from compliance.models import ChangeRecord, Erasure, SubjectKey
from compliance.sealing.forgetting import Forgotten
from compliance.tree.notes import open_note, read_keys
from engine.errors import Conflict
from engine.snapshots import Cell
from engine.types import ChatRequest, Choice, End, Message, StoredAnswer, Usage
from tenants import jobs
from tenants.answers import AnswerStore
from tenants.directory import compile_tenants
from tenants.isolation import Stores
from tenants.models import ConfigVersion, Job, Tenant
from tests.access.recorded import write
from tests.cast import ALICE, CHARLIE
from tests.compliance.journals import (
    KEYS,
    completion,
    empty_journal,
    intent,
    journal_alias,
    journal_file,
    sealer,
    writer_on,
)
from tests.product.running import until
from tests.services.valkey import ValkeyServer
from tests.sessions_app.parts import sessions

__all__ = ["empty_journal", "journal_alias", "journal_file"]

ALICES = "key:1:alice"


@pytest.fixture
def server(tmp_path: Path, settings):
    """A store that keeps what it is told on its disk, as `make run` has it."""
    server = ValkeyServer(
        tmp_path / "valkey", options=["--appendonly", "yes", "--appendfsync", "always", "--save", "900", "1"]
    )
    server.start()
    settings.VALKEY_NODES = [server.url]
    yield server
    server.stop()


@pytest.fixture
def place(transactional_db, cast, server, journal_alias, settings, tmp_path, monkeypatch) -> SimpleNamespace:
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "objects"},
        },
    }
    monkeypatch.setattr(erasing, "SETTLE", 0.2)
    return SimpleNamespace(server=server, journal=journal_alias, tenant=cast.acme, cast=cast)


async def live(place: SimpleNamespace) -> dict[str, str]:
    """Alice, the key she has without naming her, and Charlie each have said something; their turns by their names."""
    tenants = Cell(compile_tenants())
    stores = Stores([place.server.url], tenants)
    kept, answers = sessions(stores, tenants), AnswerStore(stores, tenants)
    writer = writer_on(place.journal)
    await writer.start()
    turns = {}
    for name, who, user in (
        ("alice", ALICE.key_principal, ALICES),
        ("nameless", ALICE.key_principal, "key:1"),
        ("charlie", CHARLIE.principal, "3"),
    ):
        said = [Message("user", f"canary-{name}"), Message("assistant", f"canary-{name} yourself")]
        asked = intent(user=user, tenant_id=who.tenant_id, messages=said[:1])
        await writer.intent(asked)
        await writer.completion(completion(asked, text=f"canary-{name}"))
        turns[name] = asked.turn_id
        session = await kept.open(msgspec.structs.replace(who, user=user), ChatRequest(messages=said))
        await kept.append(session, said, None)
        stored = StoredAnswer([Choice(said[1], "stop")], End({0: "stop"}, Usage()))
        answers.put(who.tenant_id, name, stored, 60)
    await stores.tenant(1).call("PING")
    await stores.tenant(2).call("PING")
    await writer.stop()
    await stores.close()
    return turns


def erase(tenant: Tenant, user: str = ALICES) -> Erasure:
    erasure = prepare_erasure(tenant=tenant, user=user, created_by="test")
    erasing.run(erasure.job_id)
    erasure.refresh_from_db()
    return erasure


def holding(folder: Path, text: bytes) -> set[str]:
    """The files with these bytes. A file that was replaced is removed a moment later."""
    found = set()
    for path in folder.rglob("*"):
        try:
            if path.is_file() and text in path.read_bytes():
                found.add(path.name)
        except FileNotFoundError:
            continue
    return found


def keys_of(tenant_id: int) -> dict[str, bytes]:
    return {row.subject: bytes(row.wrapped) for row in SubjectKey.objects.for_tenant(tenant_id)}


def test_it_leaves_nothing_of_the_user_and_all_of_the_others(place):
    turns = asyncio.run(live(place))
    job = jobs.queue_job(tenant_id=1, kind="audit_export")
    jobs.finish_job(job_id=job.pk, result_name=default_storage.save("x/y.json", ContentFile(b"canary-alice")))
    running = jobs.queue_job(tenant_id=1, kind="audit_export")
    wrapped = keys_of(1)[KEYS[1].pseudonym(ALICES)]
    assert holding(place.server.folder, b"canary-alice") and holding(place.journal.parent, wrapped)
    assert reader.turn(1, turns["alice"]).intent.messages[0].content == "canary-alice"

    erasure = erase(place.tenant)

    until(lambda: not holding(place.server.folder, b"canary-alice"), "the store's files are new")
    assert not holding(place.server.folder, b"key%3A1%3Aalice") and not holding(place.server.folder, b"key:1:alice")
    assert holding(place.server.folder, b"canary-nameless") and holding(place.server.folder, b"canary-charlie")
    assert not holding(place.journal.parent, wrapped)
    assert set(keys_of(1)) == {KEYS[1].pseudonym("key:1")} and len(keys_of(2)) == 1
    record = reader.turn(1, turns["alice"])
    assert (record.erased, record.unreadable) == (True, False)
    assert (record.intent.messages, record.completion.choices) == ([], [])
    assert (record.intent.user, record.intent.subject) == (KEYS[1].pseudonym(ALICES), "")
    assert record.completion.state == "completed" and record.completion.usage == Usage(1, 1)
    assert not reader.turn(1, turns["nameless"]).erased and not reader.turn(2, turns["charlie"]).erased
    assert not default_storage.exists("x/y.json")
    assert {Job.objects.for_tenant(1).get(pk=each.pk).result_name for each in (job, running)} == {""}
    assert Job.objects.for_tenant(1).get(pk=running.pk).state == Job.State.FAILED

    kept = json.loads(default_storage.open(erasure.certificate).read())
    about = kept["certificate"]
    assert about["deleted"] == {"sessions": 1, "archived_sessions": 0, "answers": 2, "questions": 0, "results": 1}
    assert about["store"] == {"append_only_file": True, "snapshot": True, "refused": ""}
    assert len(about["keys_destroyed"]) == 1 and about["subject"] == KEYS[1].pseudonym(ALICES)
    assert about["erased_until"] == erasure.erased_at.timestamp() and about["turns_in_the_clear"] == 0
    assert "alice" not in json.dumps(kept)
    told = [bytes(record.body) for record in ChangeRecord.objects.everywhere()]
    assert any(b'"compliance.erasure"' in body for body in told), "the change of configuration is recorded"
    assert not any(b"alice" in body for body in told if b'"compliance.erasure"' in body)
    lines = open_note(kept["note"], read_keys(platform_signer().public_key()))
    assert (lines[0], json.loads(lines[1])) == (erasing.ORIGIN, about)
    done = Job.objects.for_tenant(1).get(pk=erasure.job_id)
    assert (done.state, done.progress, done.arguments) == (Job.State.DONE, 100, {})
    assert json.loads(default_storage.open(done.result_name).read()) == kept


def test_results_of_all_tenants_go_and_those_of_others_stay(place):
    """Operators search, export and replay without naming a tenant."""
    asked = [(None, "audit_search"), (None, "audit_export"), (None, "replay_rules"), (2, "audit_export")]
    done = [jobs.queue_job(tenant_id=tenant_id, kind=kind) for tenant_id, kind in asked]
    for job in done:
        name = default_storage.save(f"x/{job.pk}.json", ContentFile(b"canary"))
        assert jobs.finish_job(job_id=job.pk, result_name=name)
    running = jobs.queue_job(tenant_id=None, kind="audit_export")
    sweep = jobs.queue_job(tenant_id=None, kind="remove_old_jobs")

    erasure = erase(place.tenant)

    assert json.loads(default_storage.open(erasure.certificate).read())["certificate"]["deleted"]["results"] == 3
    for job in (*done, running, sweep):
        job.refresh_from_db()
    assert [job.result_name for job in done] == ["", "", "", f"x/{done[3].pk}.json"]
    assert default_storage.listdir("x")[1] == [f"{done[3].pk}.json"]
    assert (running.state, sweep.state) == (Job.State.FAILED, Job.State.QUEUED)


def test_what_was_searched_for_goes_too(place):
    asked = auditing.search_arguments("her words", Filters(user="key:1:alice", session_id="of alice", state="failed"))
    mine, other = (jobs.queue_job(tenant_id=each, kind=auditing.SEARCH, arguments=asked) for each in (1, 2))
    erase(place.tenant)
    mine.refresh_from_db()
    other.refresh_from_db()
    assert mine.arguments["text"] == "" and auditing.filters_of(mine).user is None
    assert (auditing.filters_of(mine).session_id, auditing.filters_of(mine).state) == (None, "failed")
    assert other.arguments == asked


def test_a_legal_hold_keeps_everything(place):
    erasure = prepare_erasure(tenant=place.tenant, user=ALICES, created_by="operator")
    Tenant.objects.filter(pk=1).update(legal_hold=True)
    erasing.run(erasure.job_id)
    job = Job.objects.for_tenant(1).get(pk=erasure.job_id)
    assert (job.state, job.error) == (Job.State.FAILED, erasing.HELD)
    erasure.refresh_from_db()
    assert erasure.erased_at is None and erasure.certificate == ""
    with pytest.raises(Conflict):
        prepare_erasure(tenant=Tenant.objects.get(pk=1), user=ALICES, created_by="operator")


def test_it_may_be_done_twice(place):
    asyncio.run(live(place))
    first, second = erase(place.tenant), erase(place.tenant)
    assert first.subject == second.subject and first.certificate != second.certificate
    told = json.loads(default_storage.open(second.certificate).read())["certificate"]
    assert told["keys_destroyed"] == [] and told["deleted"] == {
        "sessions": 0,
        "archived_sessions": 0,
        "answers": 0,
        "questions": 0,
        "results": 0,
    }


def test_it_goes_on_where_its_worker_died(place, monkeypatch):
    asyncio.run(live(place))
    erasure = prepare_erasure(tenant=place.tenant, user=ALICES, created_by="test")

    def dies(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(erasing, "drop_results", dies)
        with pytest.raises(KeyboardInterrupt):
            erasing.run(erasure.job_id)
    assert Job.objects.for_tenant(1).get(pk=erasure.job_id).state == Job.State.RUNNING
    erasing.run(erasure.job_id)
    erasure.refresh_from_db()
    assert erasure.erased_at is not None and erasure.certificate
    erasing.run(erasure.job_id)  # delivered once more: it is over
    assert Job.objects.for_tenant(1).get(pk=erasure.job_id).state == Job.State.DONE


def test_it_says_what_kept_it_from_erasing(place):
    asyncio.run(live(place))
    place.server.stop()
    erasure = erase(place.tenant)
    job = Job.objects.for_tenant(1).get(pk=erasure.job_id)
    assert job.state == Job.State.FAILED and job.error.startswith("The store:")
    assert not erasure.certificate and erasure.erased_at is None
    assert KEYS[1].pseudonym(ALICES) not in keys_of(1), "what could be done was done"
    place.server.start()
    assert erase(place.tenant).certificate


def test_whoever_was_erased_is_erased_again_from_a_backup(place):
    turns = asyncio.run(live(place))
    backup = place.journal.read_bytes()
    assert erase(place.tenant).certificate
    connections["journal"].close()
    place.journal.write_bytes(backup)
    assert not reader.turn(1, turns["alice"]).erased, "the backup is old"
    again = asyncio.run(live(place))  # the store's backup is one too
    counts = erasing.erase_again()
    assert counts == {"keys": 1, "sessions": 1, "archived_sessions": 0, "answers": 2, "questions": 0}
    assert reader.turn(1, turns["alice"]).erased and not reader.turn(1, turns["nameless"]).erased
    assert not reader.turn(1, again["alice"]).erased, "what was said after the erasure was not part of it"


def test_it_says_how_many_turns_of_old_lie_in_the_clear(place):
    asyncio.run(live(place))
    write([intent_row(intent(user=ALICES, tenant_id=1), "w")], [intent_row(intent(user="x", tenant_id=1), "w")])
    told = json.loads(default_storage.open(erase(place.tenant).certificate).read())["certificate"]
    assert told["turns_in_the_clear"] == 1


async def test_workers_hear_whose_keys_they_must_not_use(place):
    def work():
        forgotten = Forgotten()
        assert forgotten.compile() == []
        prepared = prepare_erasure(tenant=place.tenant, user=ALICES, created_by="test")
        before = ConfigVersion.objects.get(section="erasures").version
        found = forgotten.compile()
        prepared.erased_at = prepared.requested_at
        prepared.save()
        return found, ConfigVersion.objects.get(section="erasures").version - before

    found, counted = await asyncio.to_thread(_closing, work)
    assert found == [(1, KEYS[1].pseudonym(ALICES))] and counted == 1
    own = sealer()
    _, keys = own.seal([intent_row(intent(user=ALICES), "w")], {})
    own.durable(keys)
    own.forget(found)
    _, new = own.seal([intent_row(intent(user=ALICES), "w")], {})
    assert len(new) == 1 and new[0][0] != keys[0][0]


def _closing(work):
    try:
        return work()
    finally:
        connections.close_all()


@pytest.mark.parametrize("user", ["", "x" * 301, "a\nb", "a\0"])
def test_it_refuses_what_is_no_user(db, cast, user):
    with pytest.raises(ValidationError):
        prepare_erasure(tenant=cast.acme, user=user, created_by="test")
    assert not Erasure.objects.everywhere().exists() and not Job.objects.everywhere().exists()


def test_the_command_erases_and_erases_again(place, capsys):
    asyncio.run(live(place))
    call_command("eraseuser", tenant="acme", user=ALICES)
    assert "certificate erasures/1/" in capsys.readouterr().out
    call_command("eraseuser", replay=True)
    assert capsys.readouterr().out == "keys 0, sessions 0, archived_sessions 0, answers 0, questions 0\n"
    for options, code in (
        ({"tenant": "nobody", "user": "x"}, 2),
        ({"tenant": "acme", "user": "\n"}, 2),
        ({"tenant": "acme"}, 2),
        ({"tenant": "acme", "user": "x", "replay": True}, 2),
        ({}, 2),
    ):
        with pytest.raises(CommandError) as refused:
            call_command("eraseuser", **options)
        assert refused.value.returncode == code
    place.server.stop()
    with pytest.raises(CommandError) as failed:
        call_command("eraseuser", tenant="acme", user=ALICES)
    assert failed.value.returncode == 1
