"""The live journal verified: nothing is found where nothing was altered, everything where something was."""

import io
import time

import pytest
from django.core.management import call_command

from benchmarks.tampering import Tamperer
from compliance.journal import slots
from tests.compliance.tree.trees import KEY, SIGNER


@pytest.fixture
def told(tree):
    """150 turns of three tenants, signed twice on the way and at the end."""
    for _ in range(3):
        tree.write(50, tenants=3)
        tree.fold()
    return tree


@pytest.fixture
def tamperer(told, seeded):
    tamperer = Tamperer(told.path, seeded)
    yield tamperer
    tamperer.close()


@pytest.fixture
def audit(tree, settings):
    """(exit code, output) of `manage.py audit …`, with the key and the storage of the tree."""
    settings.SIGNING_KEY = KEY
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tree.storage.location},
        },
    }

    def run(*arguments):
        out = io.StringIO()
        try:
            call_command("audit", *arguments, stdout=out, stderr=out, skip_checks=True)
        except SystemExit as left:
            return left.code, out.getvalue()
        return 0, out.getvalue()

    return run


def test_it_holds_where_nothing_was_altered(told):
    report = told.verify()
    assert report.findings == []
    assert (report.entries, report.leaves, report.checkpoints, report.pending) == (300, 300, 9, 0)
    assert told.verify(2).holds


def test_it_tells_what_is_not_folded_yet(told):
    told.write(2)
    report = told.verify()
    assert report.holds
    assert report.pending == 4
    assert time.time() - report.oldest_pending < 60
    assert (report.entries, report.leaves) == (304, 300)


def test_it_finds_every_way_of_tampering(told, tamperer):
    for edit in tamperer.each():
        what = edit()
        assert not told.verify().holds, what
        tamperer.restore()
    assert told.verify().holds


def test_it_finds_random_edits(told, tamperer):
    missed = []
    for _ in range(60):
        what = tamperer.edit()
        if told.verify().holds:
            missed.append(what)
        tamperer.restore()
    assert missed == []
    assert told.verify().holds


def test_it_names_the_place_and_the_turn(told):
    ((turn_id,),) = told.rows("SELECT turn_id FROM compliance_auditentry WHERE id = 7")
    told.change("UPDATE compliance_auditentry SET model = 'better' WHERE id = 7")
    told.change("DELETE FROM compliance_auditentry WHERE id = 9")
    told.change("UPDATE compliance_auditentry SET id = 0 WHERE id = 11")
    findings = told.verify().findings
    assert f"tenant 1, position 2: the entry 7, intent of turn {turn_id}, was altered" in findings
    assert "tenant 2, position 2: the entry 9 is missing" in findings
    assert "tenant 3, position 2: the entry 11 is missing" in findings
    assert any(line.startswith("tenant 3, no position: the entry 0, ") for line in findings)
    assert len(findings) == 4


def test_it_finds_an_entry_put_in_where_the_sequencer_has_been(told):
    assert told.change("UPDATE compliance_auditentry SET tenant_id = 9 WHERE id = 7") == 1
    assert not told.verify().holds
    assert not told.verify(1).holds


def test_it_finds_an_end_cut_off_by_what_is_in_object_storage_only(told):
    """The whole of the sequencer's file is gone, as if nothing had ever been folded."""
    for path in told.path.parent.glob(f"*-{slots.SEQUENCER}.sqlite3*"):
        path.unlink()
    report = told.verify()
    assert not report.holds
    assert report.pending == 300
    assert any("its end was cut off" in line for line in report.findings)


def test_it_cannot_find_an_end_cut_off_before_it_was_signed(tree):
    """What the documentation says is not promised."""
    tree.write(5)
    tree.fold()
    tree.write(5)
    tree.fold(sign=False)
    for statement in ("DELETE FROM compliance_auditentry WHERE id > 10",):
        tree.change(statement)
    assert not tree.verify().holds  # the leaves are still there
    tamperer = Tamperer(tree.path, None)
    tamperer._rehash()
    tamperer.close()
    assert tree.verify().holds


def test_it_finds_a_file_that_is_gone(told):
    told.write(3, slot=2)
    told.fold()
    slots.slot_path(told.path, 2).unlink()
    assert any("file 2 is gone" in line for line in told.verify().findings)


def test_it_finds_entries_whose_leaves_were_said_to_be_in_another_file(told):
    """Which file a leaf's entry is in is no part of the tree."""
    told.change("UPDATE compliance_treerun SET source = 7 WHERE tenant_id = 2", slot=slots.SEQUENCER)
    told.change("DELETE FROM compliance_auditentry WHERE tenant_id = 2")
    for report in (told.verify(), told.verify(2)):
        assert any("file 7 is gone" in line for line in report.findings)
        assert sum("is missing" in line for line in report.findings) == 102  # three times 17 turns
    assert told.verify(1).holds


@pytest.mark.parametrize("column", ["first_at", "last_at"])
def test_it_finds_leaves_that_an_export_of_a_time_would_pass_by(told, column):
    by = 1e9 if column == "first_at" else -1e9
    told.change(f"UPDATE compliance_treerun SET {column} = {column} + ? WHERE tenant_id = 2", by, slot=slots.SEQUENCER)
    assert told.verify().findings == ["tenant 2, position 0: the times of its entries were altered"]
    assert not told.verify(2).holds
    assert told.verify(1).holds


def test_it_believes_only_the_keys_it_is_given(told):
    from compliance.journal.signing import Signer

    other = Signer("eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=")
    report = told.verify(keys=other.keys)
    assert not report.holds
    assert "is not signed by a key we were given" in report.findings[0]
    assert told.verify(keys={**other.keys, **SIGNER.keys}).holds


def test_its_command_says_what_holds(told, audit):
    code, output = audit("verify")
    assert (code, output.splitlines()[-1]) == (0, "the journal holds")
    told.write(1)
    code, output = audit("verify", "--tenant", "1")
    assert code == 0
    assert "pending                2  not folded yet" in output
    assert audit("verify", "--key", audit("publickey")[1].strip())[0] == 0


def test_its_command_says_what_was_altered(told, audit):
    told.change("UPDATE compliance_auditentry SET model = 'better' WHERE id = 7")
    code, output = audit("verify")
    assert code == 1
    assert "position 2: the entry 7, intent of turn" in output
    assert output.splitlines()[-1] == "THE JOURNAL WAS ALTERED: 1 findings"


def test_its_command_says_that_it_could_not_run(told, audit, tmp_path):
    assert audit("verify", "--key", "clawdbot+nonsense+nonsense") == (
        2,
        "'clawdbot+nonsense+nonsense' is no public key of the form name+id+base64\n",
    )
    code, output = audit("verify", str(tmp_path / "missing.jsonl"))
    assert code == 2
    assert "could not be read" in output
    told.path.write_bytes(b"no database " * 1000)
    code, output = audit("verify")
    assert code == 2
    assert "could not be read" in output
