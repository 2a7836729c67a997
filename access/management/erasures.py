"""`/api/erasures`: erasing a user of the tenant, and who was erased."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from rest_framework.request import Request

from access import schemas
from access.erasure_requests import LONGEST, request_erasure
from access.lean import JsonReply
from access.management.jobs import JobAnswer, answer
from access.views import LeanView
from compliance.models import Erasure
from tenants.models import Job, Tenant

LISTED: Final = 50


class ErasureBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`user` as the journal calls them: a member's id, `key:7` for an API key itself, `key:7:alice` for a user it
    named."""

    user: Annotated[str, Meta(min_length=1, max_length=LONGEST)]


class ErasureAnswer(msgspec.Struct, kw_only=True):
    """`subject` is the pseudonym, all that is kept of who it was. Times are in Unix seconds; `erased_until` once it is
    done: what was said until then is gone. `job` has the certificate for as long as jobs are kept."""

    id: int
    subject: str
    requested_by: str
    requested_at: float
    erased_until: float | None = None
    job: int | None = None


class ErasurePage(msgspec.Struct):
    """The last 50, newest first."""

    erasures: list[ErasureAnswer]


class Erasures(LeanView):
    """GET: the tenant's last erasures. POST `{"user"}`: queues one, 202 with the job; its result is the certificate."""

    area = "journal"
    http_method_names = ["get", "post"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        return self.json(ErasurePage(await self.parts.rows.run(partial(listed, self.principal.tenant_id))))

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        user = schemas.fields(self.body(), ErasureBody).user
        principal = self.principal
        job = await self.parts.rows.run(partial(asked, principal.tenant_id, principal.subject, user))
        return self.json(job, status=202)


def listed(tenant_id: int) -> list[ErasureAnswer]:
    return [_answer(row) for row in Erasure.objects.for_tenant(tenant_id).order_by("-id")[:LISTED]]


def asked(tenant_id: int, subject: str, user: str) -> JobAnswer:
    """Raises ValidationError, StoreUnavailable."""
    tenant = Tenant.objects.get(pk=tenant_id)
    erasure = request_erasure(tenant=tenant, user=user, created_by=subject)
    return answer(Job.objects.for_tenant(tenant_id).get(pk=erasure.job_id))


def _answer(row: Erasure) -> ErasureAnswer:
    return ErasureAnswer(
        id=row.pk,
        subject=row.subject,
        requested_by=row.requested_by,
        requested_at=row.requested_at.timestamp(),
        erased_until=row.erased_at.timestamp() if row.erased_at is not None else None,
        job=row.job_id,
    )
