"""An operator erases a user of a tenant, and reads the certificate."""

from __future__ import annotations

import html

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection

from access import tasks
from compliance.models import Erasure
from tenants import jobs, stored_keys
from tests.compliance.journals import KEYS

LIST, ADD = "/admin/compliance/erasure/", "/admin/compliance/erasure/add/"


@pytest.fixture
def told(monkeypatch) -> list[int]:
    monkeypatch.setattr(stored_keys, "stored", KEYS.get)
    told: list[int] = []

    def tell(job_id: int) -> None:
        assert not connection.savepoint_ids, "told before the rows are committed: a worker would find none"
        told.append(job_id)

    monkeypatch.setattr(tasks.erase_user, "delay", tell)
    return told


def test_it_erases_whom_the_form_names(console, rows, told):
    assert console.get(ADD).status_code == 200
    answer = console.post(ADD, {"tenant": rows.acme.pk, "user": "key:1:alice"})
    assert answer.status_code == 302, answer.content
    made = Erasure.objects.everywhere().latest("pk")
    assert (made.tenant_id, made.subject, made.requested_by) == (1, KEYS[1].pseudonym("key:1:alice"), "operator")
    assert told == [made.job_id]
    page = console.get(LIST).content.decode()
    assert made.subject[:12] in page and "key:1:alice" not in page and "Queued" in page


@pytest.mark.parametrize("user", ["", "a\x00b", "x" * 301])
def test_it_says_what_is_no_user(console, rows, told, user):
    answer = console.post(ADD, {"tenant": rows.acme.pk, "user": user}, follow=True)
    assert answer.status_code == 200 and told == []
    assert Erasure.objects.everywhere().count() == len(rows.erasures)


@pytest.mark.parametrize("held", [True, False])
def test_it_says_why_nobody_can_be_erased(console, rows, told, monkeypatch, held):
    if held:
        rows.acme.legal_hold = True
        rows.acme.save()
    else:
        monkeypatch.setattr(stored_keys, "stored", lambda tenant_id: None)
    answer = console.post(ADD, {"tenant": rows.acme.pk, "user": "1"})
    assert answer.status_code == 200 and told == []
    assert ("legal hold" if held else "cannot be opened") in html.unescape(answer.content.decode())
    assert Erasure.objects.everywhere().count() == len(rows.erasures)


def test_it_says_that_no_worker_can_be_told(console, rows, told, monkeypatch):
    def away(job_id: int) -> None:
        from kombu.exceptions import OperationalError  # noqa: PLC0415

        raise OperationalError

    monkeypatch.setattr(tasks.erase_user, "delay", away)
    answer = console.post(ADD, {"tenant": rows.acme.pk, "user": "1"}, follow=True)
    assert answer.status_code == 200 and "store_unavailable" in answer.content.decode()
    made = Erasure.objects.everywhere().select_related("job").latest("pk")
    assert made.job is not None and made.job.state == "failed" and "broker" in made.job.error


def test_it_shows_the_certificate_and_lets_nobody_change_anything(console, rows, told):
    name = default_storage.save("erasures/1/x.json", ContentFile(b'{"certificate": {"subject": "<b>"}}'))
    job = jobs.queue_job(tenant_id=1, kind="erase_user")
    row = Erasure.objects.create(tenant=rows.acme, subject="0" * 32, certificate=name, job=job)
    page = console.get(f"{LIST}{row.pk}/change/").content.decode()
    assert "&lt;b&gt;" in page and "<b>" not in page and "Queued" in page and "(&#x27;" not in page
    default_storage.delete(name)
    assert name in console.get(f"{LIST}{row.pk}/change/").content.decode()
    for path in (f"{LIST}{row.pk}/change/", f"{LIST}{row.pk}/delete/"):
        assert console.post(path, {"post": "yes", "subject": "1"}).status_code == 403
    assert Erasure.objects.for_tenant(1).get(pk=row.pk).subject == "0" * 32
