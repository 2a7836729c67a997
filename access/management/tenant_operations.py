"""The description of what belongs to a tenant as a whole, and of the platform's tenants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from access.dry_running import DryRunReport
from access.management.activations import PluginAnswer, PluginBody, PluginPage
from access.management.addresses import AddressAnswer, AddressBody, AddressPage, AddressPatch
from access.management.allowances import AllowanceAnswer, AllowanceBody, AllowancePage, AllowancePatch
from access.management.chat_site_settings import ChatSiteBody, ChatSitePatch, ChatSiteSettingsAnswer
from access.management.jobs import JobAnswer
from access.management.own_tenant import MeAnswer, TenantAnswer, TenantPatch
from access.management.paging import LIST_QUERY, SEARCH_QUERY
from access.management.plugin_dry_runs import DryRunBody
from access.management.tenants import TenantBody, TenantChange, TenantDetailAnswer, TenantPage
from access.operations import CHANGE_ERRORS, LIST_ERRORS, MANAGE_ERRORS, ONE_ERRORS, Operation

LIVE: Final = "Live in every worker within a second."
ADDRESS_TEXT: Final = "From the first one on, the tenant's callers must come from one of its networks."
PLUGIN_TEXT: Final = "A setting that is wrong is told by its place, such as `settings.url`. Live within a second."
DRY_RUN_TEXT: Final = (
    "Of at most 50 turns the report is the answer; for more a job is queued (202, as `/api/route/replay` does) whose "
    "result is the same report. Needs the scope `audit` too, as it shows what was said. Nothing is saved, no model is "
    "asked and nobody is answered; that it was asked for is in the journal."
)
OPERATOR_TEXT: Final = "For operators of the platform, with a token of `POST /api/token/` with `operator`."

TENANT_OPERATIONS: Final[dict[str, Sequence[Operation]]] = {
    "/api/me": [
        Operation(method="get", summary="Who asks, and what they may do", answer=MeAnswer, errors=MANAGE_ERRORS),
    ],
    "/api/tenant": [
        Operation(method="get", summary="The caller's tenant", answer=TenantAnswer, errors=MANAGE_ERRORS),
        Operation(method="patch", summary="Change it", body=TenantPatch, answer=TenantAnswer, text=LIVE,
                  errors=LIST_ERRORS),
    ],
    "/api/chat-site/settings": [
        Operation(method="get", summary="How the tenant's chat looks and whom it takes", answer=ChatSiteSettingsAnswer,
                  errors=MANAGE_ERRORS),
        Operation(method="put", summary="Set all of it", body=ChatSiteBody, answer=ChatSiteSettingsAnswer,
                  errors=CHANGE_ERRORS, text=LIVE),
        Operation(method="patch", summary="Change some of it", body=ChatSitePatch, answer=ChatSiteSettingsAnswer,
                  errors=CHANGE_ERRORS, text=LIVE),
    ],
    "/api/addresses": [
        Operation(method="get", summary="Where callers may come from", answer=AddressPage, query=LIST_QUERY,
                  errors=LIST_ERRORS),
        Operation(method="post", summary="Allow a network", body=AddressBody, answer=AddressAnswer, status=201,
                  errors=CHANGE_ERRORS, text=ADDRESS_TEXT),
    ],
    "/api/addresses/{address_id}": [
        Operation(method="get", summary="A network", answer=AddressAnswer, errors=ONE_ERRORS),
        Operation(method="patch", summary="Change its note", body=AddressPatch, answer=AddressAnswer,
                  errors=(404, *CHANGE_ERRORS)),
        Operation(method="delete", summary="Allow a network no more", status=204, errors=ONE_ERRORS),
    ],
    "/api/plugins": [
        Operation(method="get", summary="The plugins there are, and what the tenant made of each", answer=PluginPage,
                  errors=MANAGE_ERRORS),
    ],
    "/api/plugins/dry-run": [
        Operation(method="post", summary="See what a plugin would do to recorded turns", body=DryRunBody,
                  answer=DryRunReport, queued=JobAnswer, errors=(404, 429, *LIST_ERRORS), text=DRY_RUN_TEXT),
    ],
    "/api/plugins/{plugin}": [
        Operation(method="get", summary="A plugin", answer=PluginAnswer, errors=ONE_ERRORS),
        Operation(method="put", summary="Switch a plugin on, or set it anew", body=PluginBody, answer=PluginAnswer,
                  errors=(404, *CHANGE_ERRORS), text=PLUGIN_TEXT),
        Operation(method="delete", summary="Switch a plugin off and forget its settings", status=204,
                  errors=ONE_ERRORS),
    ],
    "/api/allowances": [
        Operation(method="get", summary="Limits and budgets of members, keys and models", answer=AllowancePage,
                  query=(*LIST_QUERY, ("of", "string", "`member key model`.")), errors=LIST_ERRORS),
        Operation(method="post", summary="Limit a member, a key or a model", body=AllowanceBody, answer=AllowanceAnswer,
                  status=201, errors=CHANGE_ERRORS, text=LIVE),
    ],
    "/api/allowances/{allowance_id}": [
        Operation(method="get", summary="An allowance", answer=AllowanceAnswer, errors=ONE_ERRORS),
        Operation(method="patch", summary="Change its limits", body=AllowancePatch, answer=AllowanceAnswer,
                  errors=(404, *CHANGE_ERRORS), text=LIVE),
        Operation(method="delete", summary="Take it away", status=204, errors=ONE_ERRORS),
    ],
    "/api/tenants": [
        Operation(method="get", summary="The platform's tenants", answer=TenantPage, errors=LIST_ERRORS,
                  query=(*SEARCH_QUERY, ("state", "string", "`active suspended closed`.")), text=OPERATOR_TEXT),
        Operation(method="post", summary="Make a tenant", body=TenantBody, answer=TenantDetailAnswer, status=201,
                  errors=CHANGE_ERRORS, text=OPERATOR_TEXT),
    ],
    "/api/tenants/{tenant_id}": [
        Operation(method="get", summary="A tenant", answer=TenantDetailAnswer, errors=ONE_ERRORS, text=OPERATOR_TEXT),
        Operation(method="patch", summary="Change a tenant, suspend it or let it in again", body=TenantChange,
                  answer=TenantDetailAnswer, errors=(404, *CHANGE_ERRORS), text=OPERATOR_TEXT),
    ],
}  # fmt: skip
