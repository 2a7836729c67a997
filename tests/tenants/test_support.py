"""Support visits: begun by operators with a reason, over by themselves, on record."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from tenants import support
from tenants.models import SupportVisit, User


@pytest.fixture
def operator(cast: SimpleNamespace) -> User:
    return User.objects.create_superuser("operator", password="operate the platform")


def test_it_begins_and_ends(operator: User, cast: SimpleNamespace) -> None:
    visit = support.start_visit(operator=operator, tenant=cast.acme, reason=" budget ", minutes=5)
    assert support.visits_now(cast.acme.pk) == [visit] and support.visits_now(cast.globex.pk) == []
    assert visit.ends_at - timezone.now() <= timedelta(minutes=5) and not visit.may_change
    assert support.end_visit(visit=visit) is True
    assert support.end_visit(visit=visit) is False
    assert support.visits_now(cast.acme.pk) == []


def test_it_ends_by_itself(operator: User, cast: SimpleNamespace) -> None:
    visit = support.start_visit(operator=operator, tenant=cast.acme, reason="budget")
    SupportVisit.objects.everywhere().filter(pk=visit.pk).update(ends_at=timezone.now() - timedelta(seconds=1))
    visit.refresh_from_db()
    assert support.visits_now(cast.acme.pk) == [] and not support.is_going_on(visit)
    assert support.end_visit(visit=visit) is False


def test_an_operator_is_in_one_place(operator: User, cast: SimpleNamespace) -> None:
    first = support.start_visit(operator=operator, tenant=cast.acme, reason="one")
    support.start_visit(operator=operator, tenant=cast.globex, reason="two")
    first.refresh_from_db()
    assert first.ended_at is not None


@pytest.mark.parametrize(
    ("changed", "field"),
    [({"reason": ""}, "reason"), ({"reason": "x" * 201}, "reason"), ({"minutes": 0}, "minutes"),
     ({"minutes": 61}, "minutes")],
)  # fmt: skip
def test_it_says_what_is_wrong(operator: User, cast: SimpleNamespace, changed: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        support.start_visit(**{"operator": operator, "tenant": cast.acme, "reason": "budget", **changed})
    assert field in refused.value.message_dict
    assert not SupportVisit.objects.everywhere().exists()


def test_only_operators_visit_and_no_suspended_tenant(operator: User, cast: SimpleNamespace) -> None:
    with pytest.raises(ValidationError):
        support.start_visit(operator=cast.alice.user, tenant=cast.globex, reason="curious")
    cast.acme.is_active = False
    cast.acme.save()
    with pytest.raises(ValidationError):
        support.start_visit(operator=operator, tenant=cast.acme, reason="budget")
