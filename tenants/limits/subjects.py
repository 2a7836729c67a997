"""Whose limits apply to a turn: its tenant's, its member's or key's, its model's; and the platform's over all."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from engine.snapshots import Cell
from engine.types import Principal
from tenants.directory import TenantView
from tenants.limits.quotas import AllowanceTable, Quota

PLATFORM: Final = "platform"
NOTHING: Final = Quota()
REMEMBERED: Final = 10_000  # subjects


class Subject(msgspec.Struct, frozen=True):
    """`name` is what it is called in its scope's hashes: `t` the tenant or platform, `k7`, `m7`, `M` and a model's
    name; `prefix` begins its keys; `who` is how an error calls it."""

    name: str
    prefix: str
    quota: Quota
    who: str


class Scope(msgspec.Struct, frozen=True):
    """Whose counters lie together: a tenant's, or the platform's. `tag` is their hash tag, `zone` the time zone of
    their days. `charged` are the names a turn's cost is noted for; none: nobody here has a budget."""

    tag: str
    zone: str
    tenant_id: int | None
    subjects: tuple[Subject, ...]
    charged: tuple[str, ...] = ()

    @property
    def spenders(self) -> list[Subject]:
        return [subject for subject in self.subjects if subject.quota.spends]

    def key(self, what: str) -> str:
        return f"limits:{{{self.tag}}}:{what}"


class Subjects:
    """Finds them; no I/O."""

    def __init__(self, allowances: Cell[AllowanceTable]) -> None:
        self._allowances = allowances
        self._own: dict[int, tuple[TenantView, Quota]] = {}
        self._known: dict[tuple[str, str], Subject] = {}

    def of_turn(self, principal: Principal, view: TenantView) -> list[Subject]:
        """Of the tenant and who asks."""
        found = []
        own = self.own(view)
        tag = str(view.id)
        if own is not NOTHING:
            found.append(self._subject(tag, "t", "", own, "This tenant"))
        table = self._allowances.value
        key, member = principal.key_id, principal.member_id
        if key is not None and (quota := table.keys.get(key)) is not None:
            found.append(self._subject(tag, f"k{key}", f"key:{key}:", quota, "This key"))
        elif member is not None and (quota := table.members.get(member)) is not None:
            found.append(self._subject(tag, f"m{member}", f"member:{member}:", quota, "This member"))
        return found

    def of_call(self, principal: Principal, view: TenantView, model: str) -> Scope | None:
        """Of the tenant, who asks, and the model that is to answer. None: nothing is limited nor noted."""
        found = self.of_turn(principal, view)
        table = self._allowances.value
        quota = table.models.get((view.id, model)) if table.models else None
        if quota is not None:
            found.append(self._subject(str(view.id), f"M{model}", f"model:{model}:", quota, "This model"))
        spends = view.id in table.spenders or self.own(view).spends
        if not found and not spends:
            return None
        charged = charged_to(principal.key_id, principal.member_id, model) if spends else ()
        return Scope(str(view.id), view.time_zone, view.id, tuple(found), charged)

    def of_everybody(self, model: str | None = None) -> Scope | None:
        """The platform's, and those of a model for everybody. None: there are none."""
        table = self._allowances.value
        if table.platform is None and not table.shared:
            return None
        found = []
        if table.platform is not None:
            found.append(self._subject(PLATFORM, "t", "", table.platform, "The platform"))
        quota = table.shared.get(model) if model is not None else None
        if quota is not None:
            found.append(self._subject(PLATFORM, f"M{model}", f"model:{model}:", quota, "This model"))
        spends = (table.platform is not None and table.platform.spends) or any(
            shared.spends for shared in table.shared.values()
        )
        charged = ("t", *((f"M{model}",) if model else ())) if spends else ()
        return Scope(PLATFORM, "UTC", None, tuple(found), charged) if found or charged else None

    def of_tenant(
        self, view: TenantView, keys: Collection[int], members: Collection[int], models: Collection[str] | None
    ) -> list[Subject]:
        """Of the tenant, and of these parts of it; models None: all that it limits. Who has no limits is left out."""
        table, tag, own = self._allowances.value, str(view.id), self.own(view)
        found = [self._subject(tag, "t", "", own, "This tenant")] if own is not NOTHING else []
        if models is None:
            models = sorted(model for tenant, model in table.models if tenant == view.id)
        parts = [
            *((f"k{key}", f"key:{key}:", table.keys.get(key), "This key") for key in keys),
            *((f"m{member}", f"member:{member}:", table.members.get(member), "This member") for member in members),
            *((f"M{name}", f"model:{name}:", table.models.get((view.id, name)), "This model") for name in models),
        ]
        return found + [
            self._subject(tag, name, prefix, quota, who) for name, prefix, quota, who in parts if quota is not None
        ]

    def of_platform(self) -> list[Subject]:
        """Of all tenants together, and of every model that is limited for everybody."""
        table = self._allowances.value
        found = []
        if table.platform is not None:
            found.append(self._subject(PLATFORM, "t", "", table.platform, "The platform"))
        for model, quota in sorted(table.shared.items()):
            found.append(self._subject(PLATFORM, f"M{model}", f"model:{model}:", quota, "This model"))
        return found

    def own(self, view: TenantView) -> Quota:
        """The tenant's own limits; NOTHING where it has none."""
        known = self._own.get(view.id)
        if known is None or known[0] is not view:
            quota = Quota(
                view.requests_per_minute,
                view.tokens_per_minute,
                view.concurrent_turns,
                view.money_per_day,
                view.money_per_month,
                view.cheaper,
            )
            unlimited = quota == Quota(cheaper=view.cheaper)
            known = self._own[view.id] = (view, NOTHING if unlimited else quota)
        return known[1]

    def _subject(self, tag: str, name: str, prefix: str, quota: Quota, who: str) -> Subject:
        known = self._known.get((tag, name))
        if known is None or known.quota is not quota:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[tag, name] = Subject(name, f"limits:{{{tag}}}:{prefix}", quota, who)
        return known


def charged_to(key_id: int | None, member_id: int | None, model: str) -> tuple[str, ...]:
    """The names a call's cost is noted for."""
    found = ["t"]
    if key_id is not None:
        found.append(f"k{key_id}")
    elif member_id is not None:
        found.append(f"m{member_id}")
    if model:
        found.append(f"M{model}")
    return tuple(found)
