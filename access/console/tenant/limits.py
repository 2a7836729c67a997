"""What a tenant's members, keys and models may use, below what the platform lets all of it use."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from access.console.limits import LABELS, AllowanceAdmin, AllowanceForm
from access.console.tenant.scoped import TenantAdmin, here
from access.console.tenant.standing import standing
from access.translating import choices as in_words
from tenants.allowances import COUNTS, MONEY
from tenants.models import Allowance, AtLimit


class OwnAllowanceForm(AllowanceForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "of" in self.fields:
            kinds = [(value, label) for value, label in in_words(Allowance.Of) if value != Allowance.Of.PLATFORM]
            self.fields["of"].choices = kinds  # type: ignore[attr-defined]


class OwnLimits(TenantAdmin, AllowanceAdmin):
    area = "limits"
    form = OwnAllowanceForm
    list_display = ["subject", "of", "requests_per_minute", "tokens_per_minute", "concurrent_turns", "money_per_day",
                    "money_per_month"]  # fmt: skip
    list_filter = ["of"]
    search_fields = ["model", "member__user__username", "key__name"]
    autocomplete_fields = ["member", "key"]
    list_before_template = "tenant/ceilings.html"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        tenant = here(request).tenant
        ceilings = [(LABELS[name], getattr(tenant, name)) for name in (*COUNTS, *MONEY)]
        said = {"ceilings": ceilings, "at_limit": dict(in_words(AtLimit)).get(tenant.at_limit)}
        response: HttpResponse = super().changelist_view(request, {**said, **(extra_context or {})})
        if isinstance(response, TemplateResponse) and response.context_data and "cl" in response.context_data:
            response.context_data["standing"] = standing(request, tenant, response.context_data["cl"].result_list)
        return response
