"""Whose limits apply to a turn: its tenant's, its member's or key's, its model's; and the platform's over all."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from engine.snapshots import Cell
from engine.types import Principal
from tenants.directory import TenantView
from tenants.limits.quotas import AllowanceTable, Quota

if TYPE_CHECKING:
    from tenants.limits.shares import Share

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


class Counted:
    """Which of some subjects count requests and turns, as the scripts take them: `keys` of logs, then of slots, and the
    limits in their order. `shut` is a subject that lets nothing pass."""

    __slots__ = ("keys", "limits", "logs", "shut", "slot_keys", "slots")

    def __init__(self, subjects: Sequence[Subject]) -> None:
        self.logs = [subject for subject in subjects if subject.quota.requests is not None]
        self.slots = [subject for subject in subjects if subject.quota.turns is not None]
        self.slot_keys = [f"{subject.prefix}turns" for subject in self.slots]
        self.keys = [*(f"{subject.prefix}requests" for subject in self.logs), *self.slot_keys]
        self.limits = [subject.quota.requests or 0 for subject in self.logs]
        self.limits += [subject.quota.turns or 0 for subject in self.slots]
        self.shut = next((subject for subject in subjects if 0 in (subject.quota.requests, subject.quota.turns)), None)


class Scope:
    """Whose counters lie together: a tenant's, or the platform's. `tag` is their hash tag, `zone` the time zone of
    their days. `charged` are the names a turn's cost is noted for; none: nobody here has a budget.

    `turn` is what counts as a turn begins, `call` as a model is called, `buckets` are keys and limits of tokens,
    `money` the limits of `spenders` as the scripts read them; `asks`: something is to be asked before a call. The
    shares are what may be had without asking, see `leases`; not `known` until somebody looked."""

    __slots__ = (
        "asks", "buckets", "call", "call_share", "charged", "held", "known", "marks", "money", "shut", "spenders",
        "subjects", "tag", "tenant_id", "turn", "turn_share", "zone",
    )  # fmt: skip

    def __init__(
        self, tag: str, zone: str, tenant_id: int | None, subjects: tuple[Subject, ...], charged: tuple[str, ...] = ()
    ) -> None:
        self.tag = tag
        self.zone = zone
        self.tenant_id = tenant_id
        self.subjects = subjects
        self.charged = charged
        self.held = self.key("held")
        self.marks = marks(tag)
        self.known = False
        self.turn_share: Share | None = None
        self.call_share: Share | None = None
        self.turn = Counted(subjects)
        self.call = Counted([subject for subject in subjects if subject.name[0] == "M"])
        self.buckets = [
            (f"{subject.prefix}tokens", subject.quota.tokens, subject)
            for subject in subjects
            if subject.quota.tokens is not None
        ]
        self.spenders = [subject for subject in subjects if subject.quota.spends]
        self.money: list[str | int] = []
        for subject in self.spenders:
            self.money += [subject.name, text_of(subject.quota.day), text_of(subject.quota.month)]
        self.shut = self.call.shut or next((subject for _, limit, subject in self.buckets if not limit), None)
        self.asks = bool(self.buckets or self.spenders or self.call.keys)

    def key(self, what: str) -> str:
        return f"limits:{{{self.tag}}}:{what}"


def marks(tag: str) -> str:
    """The key of the marks of a tag's counters, see `turn_scripts`."""
    return f"limits:{{{tag}}}:marks"


def text_of(limit: int | None) -> str | int:
    """A limit as the scripts read it."""
    return "" if limit is None else limit


Known = tuple[object, AllowanceTable, Scope | None]


class Subjects:
    """Finds them; no I/O."""

    def __init__(self, allowances: Cell[AllowanceTable]) -> None:
        self._allowances = allowances
        self._own: dict[int, tuple[TenantView, Quota]] = {}
        self._known: dict[tuple[str, str], Subject] = {}
        self._scopes: dict[tuple[int, int | None, int | None, str | None], Known] = {}

    def of_turn(self, principal: Principal, view: TenantView) -> Scope | None:
        """Of the tenant and who asks. None: there are none."""
        return self._scope(principal, view, None)

    def of_call(self, principal: Principal, view: TenantView, model: str) -> Scope | None:
        """Of the tenant, who asks, and the model that is to answer. None: nothing is limited nor noted."""
        return self._scope(principal, view, model)

    def _scope(self, principal: Principal, view: TenantView, model: str | None) -> Scope | None:
        table = self._allowances.value
        place = (view.id, principal.key_id, principal.member_id, model)
        known = self._scopes.get(place)
        if known is None or known[0] is not view or known[1] is not table:
            if len(self._scopes) >= REMEMBERED:
                self._scopes.clear()
            made = self._of_turn(principal, view) if model is None else self._of_call(principal, view, model)
            known = self._scopes[place] = (view, table, made)
        return known[2]

    def _of_turn(self, principal: Principal, view: TenantView) -> Scope | None:
        found = self._callers(principal, view)
        return Scope(str(view.id), view.time_zone, view.id, tuple(found)) if found else None

    def _callers(self, principal: Principal, view: TenantView) -> list[Subject]:
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

    def _of_call(self, principal: Principal, view: TenantView, model: str) -> Scope | None:
        found = self._callers(principal, view)
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
        known = self._scopes.get((0, None, None, model))
        if known is None or known[1] is not table:
            known = self._scopes[0, None, None, model] = (None, table, self._of_everybody(table, model))
        return known[2]

    def _of_everybody(self, table: AllowanceTable, model: str | None) -> Scope | None:
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
