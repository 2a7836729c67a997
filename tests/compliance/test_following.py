"""The journal is followed entry by entry: complete, once each, from any position, on both databases."""

import random
import time

import psycopg
import pytest

from compliance.journal import slots
from compliance.journal.following import Follower, SourceAway
from compliance.journal.records import COLUMNS, KEY_COLUMNS, completion_row, intent_row
from compliance.sealing.opening import Opener
from compliance.tree.folding import CLOCK_BACK, Folder
from compliance.tree.leading import Leader, lead
from compliance.tree.retention import DAY, Retention, Rules
from compliance.tree.sources import Place, Sources
from engine.turn import new_turn_id
from tests.compliance.journals import completion, intent, rows, sealer
from tests.compliance.tree.trees import SIGNER, Tree

NAMES = ", ".join(f'"{name}"' for name in COLUMNS)
INSERT = f"INSERT INTO compliance_auditentry ({NAMES}) VALUES ({', '.join(['%s'] * len(COLUMNS))})"


def followed(tenant_id=1, after=0, most=7):
    """All that is there from `after` on, page by page."""
    found = []
    with Follower() as follower:
        while (page := follower.follow(tenant_id, after, most)).end > after:
            assert page.end - after == len(page.entries) + page.gone
            found += page.entries
            after = page.end
    return found


def leading() -> Leader:
    """On PostgreSQL a connection that was closed may hold its lock a moment longer."""
    deadline = time.monotonic() + 20
    while (leader := lead()) is None:
        assert time.monotonic() < deadline, "somebody else leads"
        time.sleep(0.02)
    return leader


def fold():
    with leading() as leader, Sources() as sources:
        folder = Folder(leader.alias)
        while folder.fold(sources.all()):
            pass


@pytest.fixture
def tree(journal_alias):
    return Tree(journal_alias)


def test_it_follows_every_tenants_entries_of_all_files_once(tree):
    tree.write(20, tenants=3)
    tree.write(11, tenants=2, slot=2)
    tree.fold(sign=False)
    tree.write(9, tenants=3, slot=2)
    tree.fold(sign=False)
    with Follower() as follower:
        heads = follower.heads()
        assert follower.written() == sum(heads.values()) == 80
    stored = [row for slot in (0, 2) for row in rows(slots.slot_path(tree.path, slot), "turn_id, kind, tenant_id")]
    for tenant_id in (1, 2, 3):
        found = followed(tenant_id)
        assert [entry.position for entry in found] == list(range(heads[tenant_id]))
        assert sorted((e.turn_id, e.kind, e.tenant_id) for e in found) == sorted(r for r in stored if r[2] == tenant_id)
    assert followed(9) == []


def test_it_goes_on_from_where_it_was_and_waits_at_the_end(tree):
    with Follower() as follower:
        assert follower.heads() == {}
        assert follower.written() == 0
        tree.write(3)
        assert follower.follow(1, 0).entries == []  # not in the tree yet
        tree.fold(sign=False)
        first = follower.follow(1, 0, 4)
        assert (first.end, len(first.entries)) == (4, 4)
        assert [entry.position for entry in follower.follow(1, first.end).entries] == [4, 5]
        assert follower.follow(1, 6) == ([], 6, 0)
        assert follower.follow(1, 60) == ([], 60, 0)
        tree.write(1)
        tree.fold(sign=False)
        assert [entry.position for entry in follower.follow(1, 6).entries] == [6, 7]


def test_it_tells_what_retention_removed(tree):
    now = 1_800_000_000.0
    tree.now = lambda: now
    tree.write(300, at=now - 40 * DAY)
    tree.write(5, at=now - DAY)
    tree.fold()
    with leading() as leader:
        duty = Retention(leader.alias, SIGNER, lambda: Rules(30, {}), now=lambda: now)
        while duty.work():
            pass
    with Follower() as follower:
        page = follower.follow(1, 10, 50)
        assert (len(page.entries), page.end, page.gone) == (10, 610, 590)
    assert len(followed()) == 10


def test_it_leaves_out_what_was_altered_into_no_entry(tree):
    tree.write(3)
    tree.fold(sign=False)
    tree.change("UPDATE compliance_auditentry SET at = 'noon' WHERE id = 2")
    tree.change("UPDATE compliance_auditentry SET model = CAST(x'ff' AS TEXT) WHERE id = 3")
    tree.change("UPDATE compliance_auditentry SET tenant_id = 2 WHERE id = 4")
    assert [entry.id for entry in followed()] == [1, 3, 5, 6]


def test_it_reads_nothing_while_a_file_is_away(tree):
    tree.write(2)
    tree.write(2, slot=3)
    tree.fold(sign=False)
    slots.slot_path(tree.path, 3).rename(tree.path.parent / "away")
    with Follower() as follower, pytest.raises(SourceAway):
        follower.follow(1, 0)


def test_what_it_gives_can_be_opened(tree):
    asked = intent(tenant_id=1)
    sealed, keys = sealer().seal([_unsealed(asked)], {})
    held = slots.take(tree.path, 0)
    from compliance.journal.sqlite import SqliteStore  # noqa: PLC0415

    store = SqliteStore(held, "w")
    store.open()
    store.append(sealed, keys)
    store.close(finished=True)
    tree.fold(sign=False)
    (entry,) = followed()
    assert b'"Hi"' in Opener().open([entry])[0].json
    tree.change(f"DELETE FROM compliance_subjectkey WHERE {KEY_COLUMNS[0]} <> ''")
    (told,) = Opener().open([entry])
    assert told.erased


def _unsealed(asked):
    from compliance.sealing import splitting  # noqa: PLC0415

    return splitting.intent_row(asked, "w")


# The order of several files -----------------------------------------------------------------------------------------


class Scripted:
    """A source with these (id, time), of one tenant; `then` happens when it is read."""

    def __init__(self, number, entries, then=lambda: None):
        self.number, self.entries, self.then = number, entries, then

    def after(self, place):
        self.then()
        for entry_id, at in self.entries:
            if entry_id > place.entry_id:
                text = f"{entry_id}".encode()
                yield Place(0, entry_id), (
                    entry_id, text, b"intent", 0, 1, at, b"w", None, b"u", None, b"", b"", b"", b"{}",
                )  # fmt: skip


def order(tree, *sources, now):
    from compliance.models import TreeRun  # noqa: PLC0415
    from compliance.tree.folding import ids_of  # noqa: PLC0415

    with leading() as leader:
        folder = Folder(leader.alias, now=lambda: now)
        while folder.fold(sources):
            pass
        runs = TreeRun.objects.using(leader.alias).for_tenant(1).order_by("position")
        return [number for run in runs for number in ids_of(run)]


def test_files_are_merged_in_the_order_of_what_happened(tree):
    one, other = Scripted(0, [(1, 1.0), (2, 4.0), (3, 3.5), (4, 9.0)]), Scripted(1, [(11, 2.0), (12, 5.0), (13, 10.0)])
    assert order(tree, one, other, now=20.0) == [1, 11, 2, 3, 12, 4, 13]


def test_what_is_newer_than_the_round_waits_and_a_clock_put_back_stops_nothing(tree):
    one, other = Scripted(0, [(1, 1.0), (2, 21.0)]), Scripted(1, [(11, 20.5), (12, 30.0)])
    assert order(tree, one, other, now=20.0) == [1]
    assert order(tree, one, other, now=25.0) == [1, 11, 2]
    ahead = Scripted(0, [(1, 1.0), (2, 21.0), (5, 100.0 + CLOCK_BACK)])
    assert order(tree, ahead, other, now=50.0) == [1, 11, 2, 12, 5]


def test_turns_of_a_session_keep_their_order_over_files_however_rounds_fall(tree):
    """Each entry is stored in a random file after the one before it was."""
    chance = random.Random(3)
    files = {0: Scripted(0, []), 1: Scripted(1, []), 2: Scripted(2, [])}
    clock, number = [1.0], [0]

    def happen():
        for _ in range(chance.randrange(4)):
            clock[0] += 0.001
            number[0] += 1
            files[chance.randrange(3)].entries.append((number[0], clock[0]))

    for file in files.values():
        file.then = happen
    with leading() as leader:
        folder = Folder(leader.alias, now=lambda: clock[0])
        for _ in range(60):
            clock[0] += 0.0005
            folder.fold(list(files.values()))
    clock[0] += 1
    for file in files.values():
        file.then = lambda: None
    assert order(tree, *files.values(), now=clock[0]) == list(range(1, number[0] + 1))


# PostgreSQL ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_transactions_that_end_in_another_order_are_followed_once_each(place_alias):
    def turn(tenant_id=1):
        at = time.time()
        asked = intent(new_turn_id(at), tenant_id=tenant_id, at=at)
        return [intent_row(asked, "w"), completion_row(completion(asked, at=at), "w")]

    with psycopg.connect(place_alias, autocommit=True) as database:
        database.execute("CREATE TABLE any_month PARTITION OF compliance_auditentry DEFAULT")
    with psycopg.connect(place_alias) as slow, psycopg.connect(place_alias, autocommit=True) as fast:
        slow.cursor().executemany(INSERT, turn())
        fast.cursor().executemany(INSERT, turn() + turn(2))
        fold()
        assert followed() == []
        slow.commit()
        fold()
        assert [entry.id for entry in followed()] == [1, 2, 3, 4]
        fast.cursor().executemany(INSERT, turn())
        fold()
        assert len(followed(after=4)) == 2
        assert len(followed(2)) == 2
