"""How the stores are, as `manage.py storehealth` says it, on a page of the platform console."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from tenants.directory import compile_tenants
from tenants.survey import Server, StoreReport, survey


def stores() -> dict[str, Any]:
    """For the template `console/stores.html`. Asks every server, some seconds at most."""
    return {"reports": [_shown(report) for report in survey(settings.VALKEY_NODES, compile_tenants())]}


def _shown(report: StoreReport) -> dict[str, Any]:
    headers = [_("Server"), _("Role"), _("Lags behind"), _("Keys"), _("Memory"), _("On disk"), _("Could lose")]
    return {
        "title": _("The platform's store") if report.name == "platform" else report.name,
        "kind": report.kind,
        "slots": report.slots_served,
        "moving": report.slots_moving,
        "could_lose": report.could_lose,
        "problems": report.problems,
        "remarks": report.remarks,
        "table": {"headers": headers, "rows": [_row(server) for server in report.servers]},
    }


def _row(server: Server) -> list[Any]:
    if not server.answers:
        return [server.address, _("does not answer"), "", "", "", "", ""]
    keys = _("%(keys)s in %(databases)s databases") % {"keys": server.keys, "databases": server.databases_used}
    limit = filesizeformat(server.memory_limit) if server.memory_limit else _("no limit")
    return [
        server.address,
        f"{server.role} {server.version}",
        filesizeformat(server.lag) if server.lag is not None else "",
        keys,
        f"{filesizeformat(server.memory)} / {limit}",
        _disk(server),
        server.could_lose,
    ]


def _disk(server: Server) -> str:
    parts = []
    if server.aof:
        parts.append(_("append-only file, %(size)s") % {"size": filesizeformat(server.aof_size or 0)})
    if server.snapshots:
        parts.append(_("snapshot %(age)s s old") % {"age": server.snapshot_age})
    return ", ".join(parts) or _("nothing")
