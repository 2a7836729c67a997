"""Data keys are stored with the entries they seal, or neither is."""

import time

import pytest

from compliance.journal.records import intent_row
from compliance.journal.store import RecordRefused, StoreAway
from tests.compliance.journals import intent, rows, run, store_on


@pytest.fixture
def store(place):
    store = store_on(place)
    store.open()
    yield store
    store.close(finished=True)


def keys(place):
    return run(place, "SELECT id, subject, wrapped FROM compliance_subjectkey ORDER BY id")


def key(name, wrapped=b"sealed"):
    return (name, 1, "someone", wrapped, time.time())


def test_it_stores_keys_with_their_entries(store, place):
    store.append([intent_row(intent(), "w1")], [key("k1"), key("k2")])
    assert keys(place) == [("k1", "someone", b"sealed"), ("k2", "someone", b"sealed")]
    assert len(rows(place)) == 1


def test_it_leaves_a_key_that_is_there(store, place):
    store.append([intent_row(intent(), "w1")], [key("k1", b"first")])
    store.append([intent_row(intent(), "w1")], [key("k1", b"second")])
    assert keys(place) == [("k1", "someone", b"first")]
    assert len(rows(place)) == 2


def test_it_stores_neither_when_an_entry_is_refused(store, place):
    row = intent_row(intent(), "w1")
    with pytest.raises(RecordRefused):
        store.append([row, row], [key("k1")])
    assert keys(place) == [] and rows(place) == []
    store.append([row], [key("k1")])
    assert len(keys(place)) == 1


def test_it_tries_whether_an_entry_would_be_taken_and_keeps_none(store, place):
    store.probe()
    assert rows(place) == []
    run(place, "DROP TABLE compliance_auditentry")
    with pytest.raises(StoreAway):
        store.probe()
