"""`POST /api/plugins/dry-run`: what a plugin would do to recorded turns."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, ClassVar, Final

import msgspec
from msgspec import Meta
from rest_framework.request import Request

from access import dry_running, schemas
from access.authentication import require_scope
from access.dry_run_requests import request_dry_run, run_now
from access.dry_running import DryRunReport, Wanted
from access.lean import JsonReply
from access.management.activations import PluginName, check_settings, installed
from access.management.audit import TurnId, When, moment_of
from access.management.jobs import JobAnswer, answer
from access.views import LeanView
from engine.errors import InvalidRequest, RateLimited
from engine.types import Json
from tenants.models import Tenant

PAUSE: Final = 5.0  # seconds


class DryRunBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """`settings` are tried as they stand here, saved or not; without them the saved ones. Which turns: this `turn`, or
    the newest `last`, of those that began from `from` to before `to` (Unix seconds or ISO 8601) where these are given.
    `timeout` in seconds of a hook, the plugin's own unless given. `effects`: run also hooks that do not say that a dry
    run of them has no effect outside of its turns."""

    plugin: PluginName
    settings: Json | None = None
    last: Annotated[int, Meta(ge=1, le=dry_running.MOST)] = 20
    from_: When = None
    to: When = None
    turn: TurnId | None = None
    timeout: Annotated[float, Meta(ge=0.01, le=60)] | None = None
    effects: bool = False


class PluginDryRun(LeanView):
    """POST: the report of at most 50 turns at once, 202 with a job for more. Takes who may change plugins and read the
    journal."""

    area = "plugins"
    http_method_names = ["post"]
    running: ClassVar[set[int]] = set()  # tenants: one at a time each, in this process

    async def post(self, request: Request, *args: Any, **kwargs: Any) -> JsonReply:
        require_scope(self.principal, "audit")
        body = schemas.fields(self.body(), DryRunBody)
        wanted = _wanted(body)
        tenant_id = self.principal.tenant_id
        if wanted.turn_id is None and wanted.last > dry_running.AT_ONCE:
            queue = partial(_queued, tenant_id, self.principal.subject, wanted, body.effects)
            return self.json(await self.parts.rows.run(queue), 202)
        if tenant_id in self.running:
            raise RateLimited("A dry run is under way already. Wait for it to end.", retry_after=PAUSE)
        self.running.add(tenant_id)
        try:
            return self.json(await self.parts.dry_runs.run(partial(_told, tenant_id, wanted, body.effects)))
        finally:
            self.running.discard(tenant_id)


def _wanted(body: DryRunBody) -> Wanted:
    """Raises NotFound, InvalidRequest."""
    installed(body.plugin)
    if body.settings is not None:
        check_settings(body.plugin, body.settings)
    since, until = moment_of(body.from_, "from"), moment_of(body.to, "to")
    if since is not None and until is not None and since >= until:
        raise InvalidRequest("from must be before to.", param="from")
    return Wanted(
        plugin=body.plugin,
        settings=body.settings,
        last=body.last,
        since=since,
        until=until,
        turn_id=body.turn,
        timeout=body.timeout,
    )


def _told(tenant_id: int, wanted: Wanted, effects: bool) -> DryRunReport:
    return run_now(wanted=wanted, tenant=Tenant.objects.get(pk=tenant_id), effects=effects)


def _queued(tenant_id: int, subject: str, wanted: Wanted, effects: bool) -> JobAnswer:
    tenant = Tenant.objects.get(pk=tenant_id)
    return answer(request_dry_run(wanted=wanted, tenant=tenant, effects=effects, created_by=subject))
