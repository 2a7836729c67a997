"""Every change of configuration leaves a record in its own transaction: who, what, before and after."""

from __future__ import annotations

import threading

import msgspec
import pytest
from django.db import transaction
from django.utils import translation

from compliance import changes
from compliance.changes import LONGEST
from compliance.models import ChangeRecord
from compliance.models.journal import AppendOnly
from engine.entries import Change
from tenants import actors, membership, services
from tenants.actors import Actor, acting
from tenants.changes import HIDDEN, RENEWED
from tenants.models import AlertRule, Tenant
from tenants.scoping import Unscoped
from tests.access.console.screens import word_list

OPERATOR = Actor("operator:7", "ruth", "r-1")


def told() -> list[Change]:
    records = ChangeRecord.objects.everywhere()
    return [msgspec.json.decode(bytes(record.body), type=Change) for record in records]


def cleared() -> None:
    ChangeRecord.objects.everywhere().moved()


@pytest.fixture
def rows(cast):
    cleared()
    return cast


def test_what_a_row_is_called_is_on_record_in_one_language(rows):
    with translation.override("zh-hans"):
        rule = AlertRule.objects.create(tenant=rows.acme, kind="completion_rate")
        assert str(rule) not in ("completion_rate", "Completion rate (%) below")
    [change] = told()
    assert (change.model, change.label) == ("tenants.alertrule", "completion_rate")


def test_it_says_who_changed_what_and_how_it_was_before(rows):
    with acting(OPERATOR):
        rows.acme.requests_per_minute = 5
        rows.acme.save()
    [change] = told()
    assert (change.actor, change.actor_label, change.request_id) == OPERATOR
    assert (change.action, change.model, change.row, change.label) == ("changed", "tenants.tenant", "1", "Acme")
    assert (change.tenant_id, change.before, change.after) == (
        1,
        {"requests_per_minute": None},
        {"requests_per_minute": 5},
    )
    [record] = ChangeRecord.objects.everywhere()
    assert (record.id, record.tenant_id) == (change.turn_id, 1)
    assert int(change.turn_id[:12], 16) == int(change.at * 1000)


def test_it_records_what_was_made_and_what_is_gone(rows):
    rule = services.allow_network(tenant=rows.globex, network="10.0.0.0/8", note="office")
    membership.remove(member=rows.bob, by_role=None)
    made, gone = told()[:2]
    assert (made.action, made.model, made.row, made.tenant_id) == ("created", "tenants.iprule", str(rule.pk), 2)
    assert (made.before, made.after["network"], made.after["note"]) == ({}, "10.0.0.0/8", "office")
    plain = services.allow_network(tenant=rows.globex, network="10.1.0.0/16")
    assert "note" not in told()[-1].after and told()[-1].row == str(plain.pk)
    assert (gone.action, gone.row, gone.after, gone.before["role"]) == ("deleted", "2", {}, "member")
    assert made.actor == gone.actor == "system"


def test_a_tenants_changes_are_its_own_and_a_persons_are_the_platforms(rows):
    rows.charlie.user.first_name = "Charlie"
    rows.charlie.user.save()
    rows.charlie_key.name = "renamed"
    rows.charlie_key.save()
    assert [change.tenant_id for change in told()] == [changes.PLATFORM, 2]
    with pytest.raises(Unscoped):
        list(ChangeRecord.objects.all())
    assert ChangeRecord.objects.for_tenant(1).count() == 0
    assert ChangeRecord.objects.for_tenant(2).count() == 1


def test_it_never_shows_a_secret(rows):
    words = word_list(rows.acme, words="first")
    words.words = "second\nthird"
    words.save()
    rows.alice.user.set_password("something else entirely")
    rows.alice.user.save()
    made, changed, person = told()
    assert made.after["words"] == HIDDEN
    assert (changed.before["words"], changed.after["words"], changed.after["size"]) == (HIDDEN, RENEWED, 2)
    assert person.after == {"password": RENEWED}
    written = b"".join(bytes(record.body) for record in ChangeRecord.objects.everywhere())
    assert not [secret for secret in (b"first", b"second", b"md5$", b"something else") if secret in written]


def test_a_save_that_changes_nothing_is_no_change(rows):
    rows.acme.save()
    rows.alice.user.save(update_fields=["last_login"])
    assert told() == []


def test_it_goes_with_the_transaction(rows):
    with pytest.raises(RuntimeError), transaction.atomic():
        rows.acme.name = "never"
        rows.acme.save()
        assert len(told()) == 1
        raise RuntimeError
    assert told() == []


def test_a_change_whose_record_cannot_be_written_is_not_made(transactional_db, rows, monkeypatch):
    def refuse(self, *args: object, **kwargs: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(ChangeRecord, "save", refuse)
    rows.acme.name = "never"
    with pytest.raises(OSError):
        rows.acme.save()
    assert Tenant.objects.get(pk=1).name == "Acme"


def test_nobody_alters_a_record(rows):
    rows.acme.name = "Acme & Sons"
    rows.acme.save()
    [record] = ChangeRecord.objects.everywhere()
    for alter in (
        record.save,
        record.delete,
        lambda: ChangeRecord.objects.everywhere().update(tenant_id=2),
        lambda: ChangeRecord.objects.for_tenant(1).delete(),
    ):
        with pytest.raises(AppendOnly):
            alter()
    with pytest.raises(Unscoped):
        ChangeRecord.objects.all().moved()


def test_it_takes_any_value_and_keeps_it_moderate(rows):
    deep: list = []
    for _ in range(50):
        deep = [deep]
    long = "x" * (LONGEST + 1)
    changes.record(
        action="changed",
        model="a.b",
        row="\ud800",
        after={
            "long": long,
            "huge": 2**70,
            "nan": float("nan"),
            "deep": deep,
            "\udfff": b"bytes",
            "fine": [1, {"a": None}],
        },
    )
    [change] = told()
    assert change.row == "?"
    assert change.after["long"].startswith("x" * LONGEST + "… (2001 characters, SHA-256 ")
    assert (change.after["huge"], change.after["nan"], change.after["?"]) == (str(2**70), "nan", "b'bytes'")
    assert change.after["fine"] == [1, {"a": None}]


def test_an_actor_is_asked_for_when_something_changes_and_only_where_it_acts(rows):
    asked = []

    def who() -> Actor:
        asked.append(1)
        return OPERATOR

    seen = []
    with acting(who):
        assert asked == []
        assert actors.current() == OPERATOR
        thread = threading.Thread(target=lambda: seen.append(actors.current().name))
        thread.start()
        thread.join()
    assert seen == ["system"]
    assert (actors.current().name, asked) == ("system", [1])
