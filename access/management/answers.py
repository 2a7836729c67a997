"""`/api/cache`: the answers that are kept for a tenant's repeated requests."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request

from access.views import LeanView


class Cache(LeanView):
    """DELETE: forgets all of the caller's tenant's kept answers; 204 when they are gone."""

    needs = ("manage",)
    http_method_names = ["delete"]

    async def delete(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        await self.parts.answers.forget(self.principal.tenant_id)
        return HttpResponse(status=204)
