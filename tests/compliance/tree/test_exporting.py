"""Exports, and the verifier: the functions of the platform and the file that needs nothing of it."""

import base64
import json
import subprocess
import sys
import time

import pytest

from compliance.journal.signing import Signer
from compliance.tree import asking, bundling, exporting
from compliance.tree.database import tree_database
from compliance.tree.hashing import leaf_hash
from compliance.tree.notes import Unreadable
from compliance.tree.verifier import check_export
from tests.compliance.tree.trees import SIGNER


@pytest.fixture
def told(tree):
    """150 turns of tenant 1 among those of tenant 2, signed at 100, 200 and 300 entries."""
    for _ in range(3):
        tree.write(100, tenants=2)
        tree.fold()
    return tree


def export(first=0, end=None, tenant_id=1):
    with tree_database() as alias:
        return list(exporting.export(alias, tenant_id, first, end))


def check(lines, outside=(), keys=SIGNER.keys):
    return check_export(lines, keys, outside)


def altered(lines, at, /, **fields):
    return [*lines[:at], json.dumps({**json.loads(lines[at]), **fields}), *lines[at + 1 :]]


RANGES = [(0, None), (0, 300), (37, 161), (0, 1), (299, 300), (100, 200), (256, 258), (5, 5), (300, None)]


def test_it_exports_any_range(told):
    for first, end in RANGES:
        lines = export(first, end)
        verdict = check(lines)
        assert verdict.findings == []
        assert verdict.entries == (300 if end is None else end) - first
        positions = [json.loads(line)["position"] for line in lines if '"position"' in line]
        assert positions == list(range(first, first + verdict.entries))


def test_it_exports_one_leaf(tree):
    tree.write(1)
    tree.change("DELETE FROM compliance_auditentry WHERE id = 2")
    tree.fold()
    assert check(export()).entries == 1
    assert check(export()).holds


def test_it_exports_what_is_signed_only(told):
    told.write(10)
    told.fold(sign=False)
    assert check(export()).entries == 300
    with pytest.raises(exporting.NothingSigned):
        export(0, 310)
    with pytest.raises(exporting.NothingSigned):
        export(tenant_id=9)
    with pytest.raises(ValueError, match="no range"):
        export(5, 4)


def test_it_finds_the_positions_of_a_time(tree):
    start = time.time() - 1000
    for part in range(4):
        tree.write(200, at=start + 100 * part)
        tree.fold()
    with tree_database() as alias:
        assert exporting.positions(alias, 1, None, None) == (0, 1600)
        assert exporting.positions(alias, 1, start + 5000, None) == (0, 0)
        first, end = exporting.positions(alias, 1, start + 100, start + 200)
        assert first <= 400 < 800 <= end
        assert end - first <= 400 + 2 * 256
        assert exporting.positions(alias, 7, None, None) == (0, 0)


def test_it_answers_whoever_asks(tree):
    start = time.time() - 1000
    assert asking.heads(1) == []
    with pytest.raises(exporting.NothingSigned):
        next(asking.export_between(1))
    for part in range(3):
        tree.write(200, at=start + 100 * part)
        tree.fold(sign=part < 2)
    verdict = check(asking.export_between(1, start + 100, start + 300))
    assert verdict.findings == []
    assert 400 <= verdict.entries <= 400 + 256  # what is not signed yet is left out
    assert check(asking.export_between(1)).entries == 800
    assert check(asking.export_between(1, start + 9000)).holds
    ((turn_id,),) = tree.rows("SELECT turn_id FROM compliance_auditentry WHERE id = 333")
    assert [proof["position"] for proof in asking.inclusion_proofs(1, turn_id)] == [332, 333]
    assert asking.inclusion_proofs(2, turn_id) == []
    assert [head["checkpoint"] for head in asking.heads(1)] == [800, 400]


def test_it_finds_every_altered_column(told):
    lines = export(10, 60)
    number = next(i for i, line in enumerate(lines) if '"position"' in line)
    entry = json.loads(lines[number])
    for column, value in entry.items():
        if column == "body":
            new = base64.b64encode(base64.b64decode(value)[:-1]).decode()
        elif column == "leaf":
            new = base64.b64encode(b"x" * 32).decode()
        else:
            new = value + 1 if isinstance(value, (int, float)) else f"{value}x"
        verdict = check(altered(lines, number, **{column: new}))
        assert not verdict.holds, column
        assert "position 10" in " ".join(verdict.findings)


def test_it_finds_deletion_insertion_exchange_and_truncation(told):
    lines = export(10, 60)
    number = next(i for i, line in enumerate(lines) if '"position"' in line)
    assert not check([*lines[:number], *lines[number + 1 :]]).holds
    assert not check([*lines[: number + 1], *lines[number:]]).holds
    assert not check([*lines[:number], lines[number + 1], lines[number], *lines[number + 2 :]]).holds
    for end in range(1, len(lines)):
        assert not check(lines[:end]).holds
    one, other = json.loads(lines[number]), json.loads(lines[number + 1])
    exchanged = [json.dumps({**other, "position": 10}), json.dumps({**one, "position": 11})]
    assert not check([*lines[:number], *exchanged, *lines[number + 2 :]]).holds


def test_it_finds_what_was_put_behind_the_last_checkpoint(told):
    lines = export()
    more = json.dumps({**json.loads(lines[1]), "position": 300})
    verdict = check([*lines, more])
    assert "positions 300 to 300: no checkpoint covers them" in verdict.findings
    gap = json.dumps({"gap": [300, 301], "hashes": [json.loads(lines[1])["leaf"]]})
    assert not check([*lines, gap]).holds


def test_it_finds_entries_outside_of_what_the_header_says(told):
    verdict = check(altered(export(10, 60), 0, end=50))
    assert [f"position {position}: lies outside of what was exported" for position in range(50, 60)] == verdict.findings


def test_it_finds_what_was_put_into_an_entry_beside_what_is_hashed(told):
    lines = export(10, 60)
    number = next(i for i, line in enumerate(lines) if '"position"' in line)
    entry = json.loads(lines[number])
    for fields in ({"note": "forged"}, {"number": False}, {"session_id": False}, {"key_id": 1.0}):
        verdict = check(altered(lines, number, **fields))
        assert "position 10: has not the columns of an entry" in verdict.findings[0], fields
    twice = '{"model": "forged", ' + lines[number][1:]
    assert json.loads(twice) == entry
    assert not check([*lines[:number], twice, *lines[number + 1 :]]).holds


def test_it_finds_an_entry_turned_into_a_gap(told):
    lines = export(10, 60)
    number = next(i for i, line in enumerate(lines) if '"position"' in line)
    gap = json.dumps({"gap": [10, 11], "hashes": [json.loads(lines[number])["leaf"]]})
    verdict = check([*lines[:number], gap, *lines[number + 1 :]])
    assert verdict.findings == ["positions 10 to 10: the entries are missing"]


def test_it_finds_a_tree_hashed_anew_and_signed_by_another(told):
    """Everything in the file fits, but for the signature."""
    lines = export()
    entry = json.loads(lines[1])
    entry["model"] = "better"
    entry["leaf"] = base64.b64encode(leaf_hash({**entry, "body": base64.b64decode(entry["body"])})).decode()
    verdict = check([lines[0], json.dumps(entry), *lines[2:]])
    assert "another root" in verdict.findings[0]
    header = json.loads(lines[0])
    text = header["checkpoints"][0].rpartition("\n\n")[0].splitlines()
    forged = Signer(base64.b64encode(b"x" * 32).decode()).note(text)
    verdict = check([json.dumps({**header, "checkpoints": [forged]}), *lines[1:]])
    assert "is not signed by a key we were given" in verdict.findings[0]
    assert not check([json.dumps({**header, "checkpoints": []}), *lines[1:]]).holds


def test_it_compares_with_a_checkpoint_kept_outside(told):
    notes = [json.loads(line)["note"] for line in told.said if json.loads(line)["tenant"] == 1]
    assert len(notes) == 3
    lines = export()
    assert check(lines, notes).holds
    # what a restored backup without the last entries would export: its own tree holds, what was signed later does not
    cut = altered(lines[:101], 0, end=100, checkpoints=notes[:1])
    assert check(cut).holds
    assert check(cut, notes).findings == [
        f"the checkpoint kept outside of size {size}: the export ends before it" for size in (200, 300)
    ]
    foreign = [json.loads(line)["note"] for line in told.said if json.loads(line)["tenant"] == 2]
    assert not check(lines, foreign).holds


@pytest.mark.parametrize(
    "first",
    [
        "", "{}", "[]", "nonsense", '{"form": "other"}', '{"form": "clawdbot-journal-1", "tenant": "x"}', b"\xff",
        "[" * 100_000, '{"form": "clawdbot-journal-1", "tenant": 1, "first": 0, "end": Infinity, "checkpoints": []}',
        '{"form": "clawdbot-journal-1", "tenant": 1, "first": -5, "end": 5, "checkpoints": []}',
    ],
)  # fmt: skip
def test_it_refuses_what_is_no_export(first):
    with pytest.raises(Unreadable):
        check([first] if first else [])


NO_LINES = [
    "", "nonsense", "[]", "1", '{"gap": []}', '{"gap": [0, 5], "hashes": []}', '{"gap": [0, 1], "hashes": ["AA=="]}',
    '{"position": 0}', '{"position": 0, "body": "%", "leaf": ""}', '{"pruned": ""}', '{"pruned": 5}',
    '{"gap": [Infinity, 3], "hashes": []}', '{"gap": [0, 1], "hashes": 5}', '{"gap": [-5, 3], "hashes": []}',
    "[" * 100_000, b"\xff",
]  # fmt: skip


def test_it_finds_lines_that_are_none(told):
    lines = export()
    for line in NO_LINES:
        verdict = check([lines[0], line, *lines[1:]])
        assert any("line 2" in finding for finding in verdict.findings), line


def test_its_file_needs_nothing_of_the_platform(told, tmp_path):
    program, export_file, key = tmp_path / "verify_journal.py", tmp_path / "export.jsonl", tmp_path / "key"
    program.write_text(bundling.bundle())
    export_file.write_text("\n".join(export(10, 60)) + "\n")
    key.write_text(SIGNER.public_key() + "\n")
    kept = tmp_path / "checkpoint.json"
    kept.write_text(told.said[-2])

    def run(*arguments, isolated=("-I", "-S")):
        command = [sys.executable, *isolated, str(program), *map(str, arguments)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    code, output = run(export_file, "--key", key)  # without site-packages: its own Ed25519
    assert code == 0, output
    assert "it holds: positions 10 to 59 of tenant 1" in output
    assert run(export_file, "--key", SIGNER.public_key(), isolated=())[0] == 0
    assert run(export_file, "--key", key, "--checkpoint", kept)[0] == 0
    export_file.write_text("\n".join(altered(export(10, 60), 5, model="better")) + "\n")
    code, output = run(export_file, "--key", key)
    assert code == 1
    assert "was altered" in output
    assert run(tmp_path / "missing", "--key", key)[0] == 2
    assert run(export_file)[0] == 2
    assert run(program, "--key", key)[0] == 2
