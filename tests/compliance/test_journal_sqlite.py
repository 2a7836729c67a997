"""What SQLite does for a batch: one transaction that is there or not, and no file besides its own."""

import os
from contextlib import suppress

import pytest

from compliance.journal.records import completion_row, intent_row
from compliance.journal.slots import claim
from compliance.journal.sqlite import SqliteStore
from compliance.journal.store import RecordRefused
from tests.compliance.journals import completion, intent, rows

KEY = ("k" * 32, 1, "subject", b"wrapped", 0.0)


@pytest.fixture
def store(journal_file):
    store = SqliteStore(claim(journal_file), "w1")
    store.open()
    yield store
    store.close(finished=True)


def turns(count):
    """The rows of whole turns, intents first."""
    begun = [intent() for _ in range(count)]
    return [intent_row(each, "w1") for each in begun] + [completion_row(completion(each), "w1") for each in begun]


def test_it_takes_nothing_of_a_batch_with_a_row_it_refuses_and_everything_of_the_next(store, journal_file):
    good = turns(3)
    for bad in ([*good, good[0]], [*good, good[-1]], [good[0], good[0]]):
        with pytest.raises(RecordRefused):
            store.append(bad, [KEY])
        with pytest.raises(RecordRefused):
            store.append(bad)
        assert not rows(journal_file)
    store.append(good, [KEY])
    assert len(rows(journal_file)) == 6


def test_it_makes_no_file_for_a_batch(store):
    """To take back a statement alone, SQLite copies every page it changes: many of them into a file."""
    scattered = [
        intent_row(intent(session_id=os.urandom(16).hex(), user=os.urandom(16).hex()), "w1") for _ in range(2000)
    ]
    for start in range(0, 1750, 250):
        store.append(scattered[start : start + 250])
    made = set()

    def look():
        for number in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                target = os.readlink(f"/proc/self/fd/{number}")
                if "etilqs" in target:
                    made.add(target)

    store._database.set_progress_handler(look, 1_000)
    store.append([*scattered[1750:], *turns(1)])  # with the end of a turn, so that sums are in the transaction too
    assert not made
