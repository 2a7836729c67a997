"""`/api/privacy`: which personal data of a tenant is masked before models."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import msgspec
from rest_framework.request import Request

from access import schemas
from access.lean import JsonReply
from access.views import LeanView
from compliance.personal import switches

RecogniserName = Literal[
    "email", "phone", "card", "iban", "id_cn", "id_hk", "id_mo", "id_tw", "id_kr", "id_jp", "id_us", "id_uk", "id_es",
    "id_it", "id_de", "id_fr", "id_in", "id_br",
]  # fmt: skip


class PrivacyBody(msgspec.Struct, forbid_unknown_fields=True):
    """`recognisers` are all that are on from now on; an empty list switches everything off."""

    recognisers: list[RecogniserName]


class PrivacyAnswer(msgspec.Struct):
    """The recognisers that are on."""

    recognisers: list[RecogniserName]


class Privacy(LeanView):
    """GET: what is masked for the caller's tenant. PATCH: sets it, live in every worker within a second."""

    area = "words"
    http_method_names = ["get", "patch"]

    async def get(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        names = await self.parts.rows.run(partial(switches.recognisers_of, self.principal.tenant_id))
        return self.json({"recognisers": names})

    async def patch(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        wanted = schemas.fields(self.body(), PrivacyBody).recognisers
        work = partial(switches.switch, tenant_id=self.principal.tenant_id, recognisers=list[str](wanted))
        return self.json({"recognisers": await self.parts.rows.run(work)})
