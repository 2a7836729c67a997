"""Whether a request comes from a web page that may send it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.snapshots import Cell
from tenants.directory import TenantTable, TenantView
from tenants.origin_names import PORTS

Headers = Sequence[tuple[bytes, bytes]]


class Origins:
    """Whose pages may call. `everywhere` are those the deployment allows for all tenants."""

    def __init__(self, tenants: Cell[TenantTable], everywhere: Iterable[str] = ()) -> None:
        self._tenants = tenants
        self._everywhere = frozenset(everywhere)

    def known(self, origin: str) -> bool:
        """Whether anybody allows it."""
        return origin in self._everywhere or origin in self._tenants.value.origins

    def allowed(self, origin: str, tenant_id: int) -> bool:
        """Whether this tenant does."""
        if origin in self._everywhere:
            return True
        view = self._tenants.value.by_id.get(tenant_id)
        return view is not None and origin in view.site.origins

    def allows(self, headers: Headers, tenant: TenantView) -> bool:
        """Whether a request comes from a page of ours, from one the tenant allows, or from no page at all."""
        origin = origin_of(headers)
        return origin is None or same_origin(origin, headers) or self.allowed(origin, tenant.id)


def origin_of(headers: Headers) -> str | None:
    """What the browser says the page's origin is; of several, which no browser sends, all."""
    found = None
    for name, value in headers:
        if name == b"origin":
            found = value.decode("latin-1") if found is None else f"{found}, {value.decode('latin-1')}"
    return found


def same_origin(origin: str, headers: Headers) -> bool:
    """Whether the page came from the host that the request goes to. A proxy in front may speak https where we hear
    http, so that the scheme does not count."""
    scheme, _, place = origin.partition("://")
    host = next((value for name, value in headers if name == b"host"), b"").decode("latin-1").lower()
    port = f":{PORTS.get(scheme, 0)}"
    return bool(place) and scheme in PORTS and place.lower().removesuffix(port) == host.removesuffix(port)
