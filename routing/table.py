"""The compiled routing configuration: immutable rows, and for every tenant and task the view of what it may use.

Views are made when a tenant first asks and kept as long as the table; tenants without anything of their own share
one a task. Only the event loop's thread looks at views."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from math import gcd, inf, lcm
from typing import Final, get_args

import msgspec

from engine.ports import Adapter
from engine.types import AUTO, Instance, Json, Task
from routing.conditions import METADATA, Condition
from routing.features import Features
from routing.headers import HEADER
from routing.health import Classes, Health
from routing.selection import Balance, Balances, Insistent, Member

MAX_NAME: Final = 200  # characters of a model's name
REMEMBERED: Final = 512  # pools of rules that matched together, a view


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A model instance in service. `owner` is its tenant's slug, or empty; `tenants` who may use a shared one (None:
    all); `created` Unix seconds; `fingerprint` changes with what its adapter was built from."""

    instance: Instance
    label: str = ""
    adapter: Adapter
    health: Health
    fingerprint: str = ""
    owner: str = ""
    tenants: frozenset[int] | None = None
    created: int = 0

    @property
    def title(self) -> str:
        """How operators know it: its name and label, after its tenant where it has one."""
        name = self.instance.name
        titled = f"{name} ({self.label})" if self.label else name
        return f"{self.owner}: {titled}" if self.owner else titled

    def serves(self, tenant_id: int | None) -> bool:
        if self.instance.tenant_id is not None:
            return self.instance.tenant_id == tenant_id
        return self.tenants is None or tenant_id in self.tenants


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A routing rule; its conditions must all hold. `name` is what a decision record says, `fallbacks` are public names
    to turn to in this order when nobody of `model` is left."""

    id: int
    name: str
    tenant_id: int | None = None
    priority: int = 0
    model: str
    weight: int = 1
    conditions: tuple[Condition, ...] = ()
    fallbacks: tuple[str, ...] = ()

    @property
    def tests_model(self) -> bool:
        return any("model" in condition.fields for condition in self.conditions)

    def matches(self, features: Features) -> bool:
        for condition in self.conditions:  # noqa: SIM110  (`all` of a generator takes twice as long)
            if not condition.test(features):
                return False
        return True


class Candidate(msgspec.Struct, frozen=True):
    """`model` is the public name an answer carries; empty: the requested one."""

    entry: Entry
    weight: int
    model: str


class Pool:
    """Candidates that take turns; `balance` goes by their places here. `listed` has what a decision record says of
    each, to be copied and completed, and its health; `window` is the smallest context window, infinite where none is
    known; `languages` those that any of them is kept for.

    `rules` brought the candidates together; `fallbacks` are the public names to turn to when nobody is left. Where the
    rules' own models are not to be had, this is the pool of the first fallback already: `begun` names have had it."""

    __slots__ = ("balance", "begun", "candidates", "fallbacks", "languages", "listed", "rules", "window")

    def __init__(
        self,
        candidates: Sequence[Candidate],
        balances: Balances,
        rules: tuple[str, ...] = (),
        fallbacks: tuple[str, ...] = (),
        begun: int = 0,
    ) -> None:
        self.candidates = tuple(candidates)
        self.balance: Balance = balances.of([_member(candidate) for candidate in candidates])
        self.listed = [(_listed(candidate), candidate.entry.health) for candidate in candidates]
        self.rules = rules
        self.fallbacks = fallbacks
        self.begun = begun
        self.languages = frozenset(tag for candidate in candidates for tag in candidate.entry.instance.languages)
        self.window = min(window_of(candidate.entry.instance) for candidate in candidates)


class PublicModel(msgspec.Struct, frozen=True):
    """A line of `/v1/models`. `owned_by` is a tenant's slug, or `platform`."""

    id: str
    created: int
    owned_by: str


class View:
    """What one tenant may use for one task. `reads` are the metadata and headers its rules ask for."""

    def __init__(self, entries: Sequence[Entry], rules: Sequence[Rule], balances: Balances) -> None:
        self._balances = balances
        self._pools: dict[tuple[int, ...], Pool | None] = {}
        named: dict[str, list[Entry]] = {}
        for entry in entries:
            named.setdefault(entry.instance.name, []).append(entry)
        self.named = {
            name: self._pool([Candidate(entry, entry.instance.weight, "" if "*" in name else name) for entry in found])
            for name, found in named.items()
        }
        wildcards = [name for name in named if "*" in name]
        self._wildcards = sorted(wildcards, key=lambda name: (-len(name.replace("*", "")), name))
        choosable = [
            Candidate(entry, entry.instance.weight, model) for entry in entries if (model := _own_model(entry))
        ]
        self.everything = self._pool(choosable) if choosable else None
        ordered = sorted(rules, key=lambda rule: (rule.tenant_id is None, -rule.priority, rule.id))
        self._groups = [tuple(group) for _, group in groupby(ordered, lambda rule: (rule.tenant_id, rule.priority))]
        self._naming = [group for group in (tuple(r for r in g if r.tests_model) for g in self._groups) if group]
        fields = {field for rule in rules for condition in rule.conditions for field in condition.fields}
        self.reads = tuple(sorted(field for field in fields if field.startswith((METADATA, HEADER))))
        self._by_window: list[tuple[float, Pool]] | None = None

    def pool_of(self, name: str) -> Pool | None:
        """The instances of a public name: the exact one before wildcards, of those the most specific."""
        if (pool := self.named.get(name)) is not None and "*" not in name:
            return pool
        if "*" in name or len(name) > MAX_NAME:
            return None
        return next((self.named[pattern] for pattern in self._wildcards if matches(pattern, name)), None)

    def wider(self, tokens: float) -> Iterator[tuple[float, Pool]]:
        """Everything with room for so many tokens, the smallest of the windows first; instances with windows of one
        size are a pool."""
        if self._by_window is None:
            sizes: dict[float, list[Candidate]] = {}
            for candidate in self.everything.candidates if self.everything is not None else ():
                sizes.setdefault(window_of(candidate.entry.instance), []).append(candidate)
            self._by_window = [(size, self._pool(found)) for size, found in sorted(sizes.items())]
        return ((size, pool) for size, pool in self._by_window if size >= tokens)

    def ruled(self, features: Features, *, auto: bool) -> Pool | None:
        """The pool of the first priority at which a rule matches and has an instance, or a fallback that has; None: no
        rule decides."""
        for group in self._groups if auto else self._naming:
            matched = tuple([rule for rule in group if rule.matches(features)])
            if matched and (pool := self._joined(matched)) is not None:
                return pool
        return None

    def _joined(self, rules: tuple[Rule, ...]) -> Pool | None:
        key = tuple([rule.id for rule in rules])
        if key not in self._pools:
            if len(self._pools) >= REMEMBERED:
                self._pools.clear()
            self._pools[key] = self._join(rules)
        return self._pools[key]

    def _join(self, rules: Sequence[Rule]) -> Pool | None:
        """A rule's weight is the share of its model; the model's instances divide it by their own weights."""
        parts = [(rule, pool.candidates) for rule in rules if (pool := self.pool_of(rule.model)) is not None]
        chain = [name for rule in rules for name in rule.fallbacks if self.pool_of(name) is not None]
        fallbacks = tuple(dict.fromkeys(chain))
        if not parts:
            return self._fallback(rules, fallbacks)
        scale = lcm(*(sum(candidate.weight for candidate in candidates) for _, candidates in parts))
        shares: dict[tuple[int, str], int] = {}
        entries = {}
        for rule, candidates in parts:
            unit = rule.weight * scale // sum(candidate.weight for candidate in candidates)
            for candidate in candidates:
                key = (candidate.entry.instance.id, candidate.model or rule.model)
                shares[key] = shares.get(key, 0) + unit * candidate.weight
                entries[key] = candidate.entry
        divisor = gcd(*shares.values())
        joined = [Candidate(entries[key], share // divisor, key[1]) for key, share in shares.items()]
        return Pool(joined, self._balances, tuple(rule.name for rule, _ in parts), fallbacks)

    def _fallback(self, rules: Sequence[Rule], fallbacks: tuple[str, ...]) -> Pool | None:
        """The pool of rules of whose models none has an instance."""
        if not fallbacks:
            return None
        pool = self.pool_of(fallbacks[0])
        assert pool is not None
        named = [Candidate(each.entry, each.weight, each.model or fallbacks[0]) for each in pool.candidates]
        return Pool(named, self._balances, tuple(rule.name for rule in rules), fallbacks, begun=1)

    def _pool(self, candidates: Sequence[Candidate]) -> Pool:
        return Pool(candidates, self._balances)


class RoutingTable:
    """All instances and rules. Built in a thread, then only read."""

    def __init__(
        self,
        entries: Iterable[Entry] = (),
        rules: Iterable[Rule] = (),
        *,
        balances: Balances | None = None,
        classes: Classes | None = None,
    ) -> None:
        self.entries = {entry.instance.id: entry for entry in entries}
        self.rules = tuple(rules)
        self.balances = balances or Balances()
        self.classes = classes or Classes()
        self._views: dict[tuple[int | None, Task], View] = {}
        self._special = {tenant for entry in self.entries.values() for tenant in entry.tenants or ()}
        self._special.update(entry.instance.tenant_id for entry in self.entries.values() if entry.instance.tenant_id)
        self._special.update(rule.tenant_id for rule in self.rules if rule.tenant_id)

    def view(self, tenant_id: int, task: Task = "chat") -> View:
        tenant = tenant_id if tenant_id in self._special else None
        view = self._views.get((tenant, task))
        if view is None:
            serving = [entry for entry in self.entries.values() if entry.instance.task == task and entry.serves(tenant)]
            rules = [rule for rule in self.rules if rule.tenant_id in (None, tenant)]
            view = self._views[tenant, task] = View(serving, rules, self.balances)
        return view

    def only(self, instance_id: int, task: Task = "chat") -> Pool | None:
        """Just this instance, whoever it serves: for the platform's own tests of it."""
        entry = self.entries.get(instance_id)
        if entry is None or entry.instance.task != task:
            return None
        return Pool([Candidate(entry, 1, _own_model(entry))], Balances(Insistent))

    def public_models(self, tenant_id: int) -> list[PublicModel]:
        """`auto`, then every name the tenant can ask for, for any task, sorted; wildcards are not names."""
        listed = {}
        for task in get_args(Task):
            for name, pool in self.view(tenant_id, task).named.items():
                if "*" not in name and name not in listed:
                    entry = pool.candidates[0].entry
                    listed[name] = PublicModel(name, entry.created, entry.owner or "platform")
        return [PublicModel(AUTO, 0, "platform"), *(listed[name] for name in sorted(listed))]


def _listed(candidate: Candidate) -> Json:
    instance = candidate.entry.instance
    return {
        "id": instance.id,
        "instance": instance.name,
        "model": candidate.model,
        "weight": candidate.weight,
        "quality": 1.0,
        "score": None,
        "in_flight": 0,
        "removed": None,
    }


def window_of(instance: Instance) -> float:
    """In tokens; infinite where none is stated."""
    return inf if instance.context_window is None else instance.context_window


def _member(candidate: Candidate) -> Member:
    entry = candidate.entry
    entry.health.bound(entry.instance.max_concurrency, alone=entry.instance.tenant_id is not None)
    return Member(entry.instance.id, candidate.weight, entry.health, entry.instance.max_concurrency)


def _own_model(entry: Entry) -> str:
    """The public name of an instance nobody named; empty: behind a wildcard, and not knowing what to send upstream."""
    name, upstream = entry.instance.name, entry.instance.upstream_model
    if "*" not in name:
        return name
    if not upstream or matches(name, upstream):
        return upstream
    return name.replace("*", upstream, 1).replace("*", "")


def matches(pattern: str, name: str) -> bool:
    """`*` stands for any characters, also none. Linear: each piece is taken at its first place."""
    first, *middle, last = pattern.split("*")
    if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
        return False
    place, end = len(first), len(name) - len(last)
    for piece in middle:
        found = name.find(piece, place, end)
        if found < 0:
            return False
        place = found + len(piece)
    return True
