"""The sum rule, and the command that checks it."""

import io
import sqlite3
import time
from contextlib import closing

import pytest
from django.core.management import CommandError, call_command

from compliance.journal.balance import balance
from tests.compliance.journals import completion, intent, writer_on

STATES = ["completed", "completed", "refused", "failed", "cancelled", "aborted"]


@pytest.fixture
async def told(journal_alias):
    """A turn of tenant 1 for each of STATES and one in flight, one completed turn of tenant 2; the file."""
    writer = writer_on(journal_alias)
    await writer.start()
    for state in STATES:
        asked = intent()
        await writer.intent(asked)
        await writer.completion(completion(asked, state))
    other = intent(tenant_id=2)
    await writer.intent(other)
    await writer.completion(completion(other))
    await writer.intent(intent())
    yield journal_alias
    await writer.stop()


def change(path, statement, *values):
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement, values)


def audit(*arguments):
    """(exit code, output) of `manage.py audit …`."""
    out = io.StringIO()
    try:
        call_command("audit", *arguments, stdout=out, stderr=out, skip_checks=True)
    except SystemExit as left:
        return left.code, out.getvalue()
    return 0, out.getvalue()


async def test_it_balances_by_state(told):
    counted = balance()
    assert counted.holds
    assert (counted.intents, counted.in_flight, counted.stray, counted.overdue) == (8, 1, 0, 0)
    assert (counted.completed, counted.refused, counted.failed, counted.cancelled, counted.aborted) == (3, 1, 1, 1, 1)


async def test_it_balances_one_tenant(told):
    counted = balance(2)
    assert counted.holds
    assert (counted.intents, counted.completed, counted.in_flight) == (1, 1, 0)
    assert balance(3).intents == 0


async def test_it_misses_a_vanished_intent(told):
    change(told, "DELETE FROM compliance_auditentry WHERE id = 1")
    counted = balance()
    assert counted.stray == 1
    assert not counted.holds
    code, output = audit("balance")
    assert code == 1
    assert "DOES NOT HOLD" in output


async def test_it_finds_a_turn_nobody_ended(told):
    """Its worker is silent, another was there all the time and did not end it."""
    assert balance().overdue == 0
    values = ("other", 1, time.time() - 300, time.time(), "")
    change(told, "UPDATE compliance_journalworker SET heartbeat = heartbeat - 300, started = started - 600")
    assert balance().holds  # nobody is there: it is ended when somebody starts
    change(told, "INSERT INTO compliance_journalworker VALUES (?, ?, ?, ?, ?, 0)", *values)
    assert balance().overdue == 1
    assert audit("balance")[0] == 1


async def test_its_command_says_that_the_balance_holds(told):
    code, output = audit("balance")
    assert code == 0
    assert "the balance holds" in output
    assert output.split()[:2] == ["intents", "8"]
    code, output = audit("balance", "--tenant", "2")
    assert (code, output.split()[:2]) == (0, ["intents", "1"])


async def test_its_command_says_what_waits_on_the_disk(told, settings, tmp_path):
    settings.JOURNAL_SPOOL = str(tmp_path)
    (tmp_path / "slot-3.spool").write_bytes(b"x" * 123)
    assert "123 bytes of entries wait in the spool" in audit("balance")[1]


def test_its_command_says_that_it_could_not_run(journal_alias):
    journal_alias.write_bytes(b"no database " * 1000)
    code, output = audit("balance")
    assert code == 2
    assert "could not be read" in output


def test_its_command_wants_to_know_what_to_check():
    with pytest.raises(CommandError):
        audit()
