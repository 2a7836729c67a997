"""What is older than a tenant keeps it is removed: named in a signed statement first, then taken out turn by turn.

The leaves stay, so that the tree still verifies; the statement tells the verifier which entries may be missing."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from django.db import DatabaseError, transaction

from compliance.journal.signing import Signer
from compliance.models import PruneStatement, TreeHead, TreeRun
from compliance.tree.checkpoints import checkpoint_lines, root_of
from compliance.tree.folding import ids_of
from compliance.tree.hashing import Broken
from compliance.tree.nodes import position_of
from compliance.tree.notes import Allowed, Pruned
from compliance.tree.removing import Entry, Remover, drop_empty_months
from tenants.models import Tenant

log = logging.getLogger(__name__)

DAY: Final = 86_400.0
WINDOW: Final = 8  # runs that are looked at in one step: about 2,000 entries
SECONDS: Final = 0.5  # a step takes about so long, then the other duties have their turn


class Rule(NamedTuple):
    """How long a tenant's turns are kept: `days` 0 for good; nothing goes while it is on `hold`."""

    days: int
    hold: bool


class Rules:
    """Every tenant's. What belongs to no tenant that is there goes by the platform's own."""

    def __init__(self, default: int, of: Mapping[int, Rule]) -> None:
        self._default = Rule(default, hold=False)
        self._of = of

    def of(self, tenant_id: int) -> Rule:
        return self._of.get(tenant_id, self._default)


def rules(default: int) -> Rules:
    """As the tenants' rows say now. Blocking."""
    rows = Tenant.objects.values_list("pk", "retention_days", "legal_hold")
    return Rules(default, {pk: Rule(default if days is None else days, hold) for pk, days, hold in rows})


class Retention:
    """The sequencer's duty. `alias` is that of the tree, `now` the clock."""

    def __init__(
        self, alias: str, signer: Signer, rules: Callable[[], Rules], *, now: Callable[[], float] = time.time
    ) -> None:
        self._alias = alias
        self._signer = signer
        self._rules = rules
        self._now = now
        self._walks: dict[int, int] = {}
        self._after = -1  # the tenant whose turn was last; 0 is the platform
        self._found = False  # whether there was anything in this round of all tenants
        self._removers: dict[int, Remover] = {}
        self._known: dict[int, tuple[int, Allowed]] = {}

    def work(self) -> bool:
        """One step; whether more waits. Raises django.db.Error: a database is away."""
        rules = self._rules()
        waiting = PruneStatement.objects.using(self._alias).everywhere().filter(done=False).order_by("id")
        # what was put on hold after its statement stays: a statement only allows
        statement = next((one for one in waiting.iterator() if not rules.of(one.tenant_id).hold), None)
        return self._plan(rules) if statement is None else self._finish(statement)

    def remove_keys(self) -> bool:
        """Data keys that seal nothing any more, and months that are empty. Raises django.db.Error, sqlite3.Error."""
        rules = self._rules()
        numbers = list(TreeRun.objects.using(self._alias).everywhere().values_list("source", flat=True).distinct())
        for tenant_id in TreeHead.objects.using(self._alias).everywhere().values_list("tenant_id", flat=True):
            rule = rules.of(tenant_id)
            for number in numbers if rule.days and not rule.hold else ():
                self._remover(number).remove_keys(tenant_id, self._now() - rule.days * DAY)
        drop_empty_months()
        return False

    # What is stated is taken out -------------------------------------------------------------------------------------

    def _finish(self, statement: PruneStatement) -> bool:
        try:
            if self._take_out(statement):
                self._done(statement)
        except (DatabaseError, sqlite3.Error) as error:
            log.info("retention waits for the journal's writer: %s", error)
            return False
        return True

    def _take_out(self, statement: PruneStatement) -> bool:
        try:
            ranges = Pruned(statement.note, self._signer.keys, statement.tenant_id).ranges
        except Broken as error:
            log.error("nothing is removed by statement %s: it %s", statement.pk, error)
            return True
        ids: dict[int, list[int]] = {}
        for first, end in ranges:
            for run in self._runs(statement.tenant_id, first, end):
                part = ids_of(run)[max(0, first - run.position) : end - run.position]
                ids.setdefault(run.source, []).extend(part)
        for number, named in ids.items():
            remover = self._remover(number)
            turns: dict[str, list[int]] = {}
            allowed = set(named)
            for entry in remover.turns_of(named):
                if entry.id in allowed:
                    turns.setdefault(entry.turn_id, []).append(entry.id)
            if not remover.remove(list(turns.values()), SECONDS):
                return False
        return True

    def _done(self, statement: PruneStatement) -> None:
        tenant_id = statement.tenant_id
        with transaction.atomic(using=self._alias):
            statement.done = True
            statement.save(using=self._alias, update_fields=["done"])
            head = TreeHead.objects.using(self._alias).for_tenant(tenant_id).get()
            left = next(self._stated(tenant_id).missing(head.pruned, head.size), (head.size, head.size))[0]
            if left > head.pruned:
                TreeHead.objects.using(self._alias).for_tenant(tenant_id).update(pruned=left)

    # What is due is stated -------------------------------------------------------------------------------------------

    def _plan(self, rules: Rules) -> bool:
        """A step for every tenant, as far as the time goes; the next one begins where it ended."""
        until = time.monotonic() + SECONDS
        heads = TreeHead.objects.using(self._alias).everywhere().filter(tenant_id__gt=self._after, size__gt=0)
        for head in heads.order_by("tenant_id"):
            rule = rules.of(head.tenant_id)
            if rule.days and not rule.hold:
                self._found = self._plan_for(head, self._now() - rule.days * DAY) or self._found
            if time.monotonic() > until:
                self._after = head.tenant_id
                return True
        found, self._found, self._after = self._found, False, -1
        return found

    def _plan_for(self, head: TreeHead, before: float) -> bool:
        start = max(head.pruned, self._walks.get(head.tenant_id, 0))
        window = [run for run in self._runs(head.tenant_id, start, head.size, WINDOW) if run.first_at < before]
        if not window:
            self._walks.pop(head.tenant_id, None)  # next time from the beginning: turns may have ended
            return False
        self._walks[head.tenant_id] = window[-1].position + window[-1].count
        due = self._due(head.tenant_id, window, start, before)
        if due:
            self._state(head, ranges_of(sorted(due)), before)
        return True

    def _due(self, tenant_id: int, window: list[TreeRun], start: int, before: float) -> set[int]:
        """The positions of all entries of the turns in the window that ended before then."""
        stated = self._stated(tenant_id)
        places: dict[int, dict[int, int]] = {}
        for run in window:
            for offset, number in enumerate(ids_of(run)):
                position = run.position + offset
                if position >= start and not stated.covers(position):
                    places.setdefault(run.source, {})[number] = position
        due: set[int] = set()
        for source, known in places.items():
            turns: dict[str, list[Entry]] = {}
            for entry in self._remover(source).turns_of(list(known)):
                turns.setdefault(entry.turn_id, []).append(entry)
            for entries in turns.values():
                if _over(entries, before):
                    due |= self._positions(tenant_id, entries, known)
        return due

    def _positions(self, tenant_id: int, entries: list[Entry], known: Mapping[int, int]) -> set[int]:
        """Nothing, unless all of the turn has been folded."""
        found: set[int] = set()
        for entry in entries:
            position = known.get(entry.id)
            if position is None:
                position = position_of(self._alias, tenant_id, entry.id)
            if position is None:
                return set()
            found.add(position)
        return found

    def _state(self, head: TreeHead, ranges: list[tuple[int, int]], before: float) -> None:
        now = self._now()
        lines = checkpoint_lines(head.tenant_id, head.size, root_of(head), now, kind="/pruned")
        lines += [f"before {before!r}", "positions " + ",".join(f"{first}-{end}" for first, end in ranges)]
        statements = PruneStatement.objects.using(self._alias)
        statements.create(tenant_id=head.tenant_id, at=now, first=ranges[0][0], note=self._signer.note(lines))
        log.info("retention removes %d entries of tenant %d", sum(b - a for a, b in ranges), head.tenant_id)

    def _stated(self, tenant_id: int) -> Allowed:
        """What statements name. Nobody else makes any, so those that were read are remembered."""
        last, stated = self._known.get(tenant_id, (0, Allowed()))
        new = PruneStatement.objects.using(self._alias).for_tenant(tenant_id).filter(pk__gt=last).order_by("pk")
        for statement in new:
            last = statement.pk
            try:
                stated.add(Pruned(statement.note, self._signer.keys, tenant_id).ranges)
            except Broken as error:
                log.error("the statement %s of removed entries %s", statement.pk, error)
        self._known[tenant_id] = last, stated
        return stated

    def _runs(self, tenant_id: int, start: int, end: int, most: int | None = None) -> Iterator[TreeRun]:
        runs = TreeRun.objects.using(self._alias).for_tenant(tenant_id)
        found = runs.filter(position__gt=start - 256, position__lt=end).order_by("position")[:most]
        return (run for run in found if run.position + run.count > start)

    def _remover(self, number: int) -> Remover:
        return self._removers.setdefault(number, Remover(number))


def _over(entries: list[Entry], before: float) -> bool:
    """A turn that ended, or a change of something, and all of it is older."""
    ended = any(entry.kind in ("completion", "change", "session") for entry in entries)
    return ended and max(entry.at for entry in entries) < before


def ranges_of(positions: list[int]) -> list[tuple[int, int]]:
    """Ascending positions as ranges, the ends excluded."""
    ranges: list[tuple[int, int]] = []
    for position in positions:
        if ranges and ranges[-1][1] == position:
            ranges[-1] = ranges[-1][0], position + 1
        else:
            ranges.append((position, position + 1))
    return ranges
