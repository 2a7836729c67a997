"""Data keys are stored with the entries they seal, or neither is."""

import sqlite3
import time
from contextlib import closing

import pytest

from compliance.journal.records import intent_row
from compliance.journal.slots import claim
from compliance.journal.sqlite import SqliteStore
from compliance.journal.store import RecordRefused
from tests.compliance.journals import intent, rows


@pytest.fixture
def store(journal_file):
    store = SqliteStore(claim(journal_file), "w1")
    store.open()
    yield store
    store.close(finished=True)


def keys(path):
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        return database.execute("SELECT id, subject, wrapped FROM compliance_subjectkey ORDER BY id").fetchall()


def key(name, wrapped=b"sealed"):
    return (name, 1, "someone", wrapped, time.time())


def test_it_stores_keys_with_their_entries(store, journal_file):
    store.append([intent_row(intent(), "w1")], [key("k1"), key("k2")])
    assert keys(journal_file) == [("k1", "someone", b"sealed"), ("k2", "someone", b"sealed")]
    assert len(rows(journal_file)) == 1


def test_it_leaves_a_key_that_is_there(store, journal_file):
    store.append([intent_row(intent(), "w1")], [key("k1", b"first")])
    store.append([intent_row(intent(), "w1")], [key("k1", b"second")])
    assert keys(journal_file) == [("k1", "someone", b"first")]
    assert len(rows(journal_file)) == 2


def test_it_stores_neither_when_an_entry_is_refused(store, journal_file):
    row = intent_row(intent(), "w1")
    with pytest.raises(RecordRefused):
        store.append([row, row], [key("k1")])
    assert keys(journal_file) == [] and rows(journal_file) == []
    store.append([row], [key("k1")])
    assert len(keys(journal_file)) == 1
