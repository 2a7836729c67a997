"""Finds turns in the journal: a page at a time, newest first, by what people know of them. The functions block.

Pages are told apart by turn ids, never by numbers: ids begin with their time, and an index has them in order, so the
thousandth page costs what the first does. What an index finds (time, user, key, session) is asked of it. All other
filters are tried on at most `SCANNED` turns a page, `OPENED` where they need the entries' bodies: then a page may be
short, or empty, and still name the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
from django.db.models import Exists, OuterRef, Q

from compliance.journal import reader
from compliance.journal.spans import first_id
from compliance.models.journal import AuditEntry, JournalQuerySet

Kind = AuditEntry.Kind

IN_FLIGHT: Final = "in_flight"
STATES: Final = (*AuditEntry.State.values, IN_FLIGHT)
ANY: Final = "any"
VERDICTS: Final = (ANY, "block", "mask", "record")
PAGE: Final = 50
SCANNED: Final = 5_000  # turns a page looks at, by their columns
OPENED: Final = 500  # turns a page looks at, with their bodies
CHUNK: Final = 200  # of those at once
READ: Final = 50  # turns in memory whose entries are read whole


class Filters(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which turns; None: any. From `since` to before `until` (Unix seconds, of the turn's begin). `model` and
    `instance` are what was asked for or what answered. `state` is one of `STATES`. `verdict` is one of `VERDICTS`,
    `word_list` the name of a list: the sensitive words said that much of the turn. `begins` is what the turn's id
    begins with."""

    since: float | None = None
    until: float | None = None
    user: str | None = None
    key_id: int | None = None
    session_id: str | None = None
    model: str | None = None
    instance: str | None = None
    state: str | None = None
    verdict: str | None = None
    word_list: str | None = None
    edge: str | None = None
    begins: str | None = None

    @property
    def by_owner(self) -> bool:
        """What an index finds inside one tenant."""
        return (self.user, self.key_id, self.session_id) != (None, None, None)

    @property
    def by_columns(self) -> bool:
        return (self.model, self.instance, self.state) != (None, None, None)

    @property
    def by_bodies(self) -> bool:
        return (self.verdict, self.word_list, self.edge) != (None, None, None)


class Judged(msgspec.Struct, frozen=True):
    """What a word list said of a turn, without the word."""

    list: str
    action: str
    where: str


class TurnSummary(msgspec.Struct, frozen=True):
    """A line of a listing. `state` is `in_flight` until the completion is there; then `ended` is its time. `user` is
    empty where it was erased."""

    turn_id: str
    tenant_id: int
    at: float
    user: str
    key_id: int | None
    session_id: str | None
    edge: str
    model: str
    answered_by: str
    instance: str
    state: str
    ended: float | None
    verdicts: list[Judged]


class Page(msgspec.Struct, frozen=True):
    """Newest first. `next` is the `before` of the following page, None at the end."""

    turns: list[TurnSummary]
    next: str | None


def page(tenant_id: int | None, filters: Filters, *, before: str | None = None, limit: int = PAGE) -> Page:
    """The newest turns of a tenant (None: of all) that began before the turn `before`."""
    intents, following = _found(_Search(tenant_id, filters, "-turn_id", before=before), limit)
    return Page(_summaries(tenant_id, intents), following)


def page_after(tenant_id: int | None, filters: Filters, *, after: str, limit: int = PAGE) -> Page:
    """The page before: the turns just after the turn `after`, newest first too. Its `next` is the `after` of the page
    before that one."""
    intents, following = _found(_Search(tenant_id, filters, "turn_id", after=after), limit)
    return Page(_summaries(tenant_id, intents[::-1]), following)


def every(
    tenant_id: int | None, filters: Filters, *, newest_first: bool = False
) -> Iterator[tuple[list[list[AuditEntry]], str]]:
    """All turns that are found, a few at a time: of each its entries, the intent first, with their bodies; and the id
    of the last turn that was looked at, so that whoever waits sees how far it is."""
    reached: str | None = None
    while True:
        bound = {"before" if newest_first else "after": reached}
        search = _Search(tenant_id, filters, "-turn_id" if newest_first else "turn_id", **bound)
        intents, reached = _found(search, READ)
        ids = [intent.turn_id for intent in intents]
        yield list(entries_by_turn(tenant_id, ids, kinds=Kind.values).values()), reached or (ids[-1] if ids else "")
        if reached is None:
            return


def time_of(turn_id: str) -> float:
    """When a turn began, in Unix seconds: ids begin with milliseconds."""
    return int(turn_id[:12], 16) / 1000


class _Search:
    """The turns of a listing from one place on, in the order they are listed."""

    def __init__(
        self,
        tenant_id: int | None,
        filters: Filters,
        order: str,
        *,
        before: str | None = None,
        after: str | None = None,
    ) -> None:
        self.tenant_id = tenant_id
        self.filters = filters
        self.order = order
        self.before = before
        self.after = after

    @property
    def scans(self) -> bool:
        """Whether turns must be looked at that no index finds."""
        told = self.filters
        return told.by_columns or told.by_bodies or (told.by_owner and self.tenant_id is None)

    def indexed(self) -> JournalQuerySet:
        """What the indexes find."""
        told = self.filters
        named = {
            "turn_id__startswith": told.begins,
            "turn_id__gte": _later(told.begins, first_id(told.since) if told.since is not None else None),
            "turn_id__lte": told.begins.ljust(32, "f") if told.begins is not None else None,
            "turn_id__lt": _earlier(self.before, first_id(told.until) if told.until is not None else None),
            "turn_id__gt": self.after,
        }
        found = _scoped(self.tenant_id).filter(kind=Kind.INTENT).order_by(self.order)
        found = found.filter(**{name: value for name, value in named.items() if value is not None})
        return found if self.tenant_id is None else found.filter(*self._owner())

    def fitting(self, size: int) -> tuple[JournalQuerySet, str | None]:
        """Of the next so many of those the ones whose columns fit, and the last one's id where more follow."""
        window, last = self._window(size)
        owner = self._owner() if self.tenant_id is None else []
        return window.filter(*owner, *_conditions(self.tenant_id, self.filters)), last

    def _owner(self) -> list[Q]:
        told = self.filters
        named = {
            "user__in": reader.stored_users(self.tenant_id, told.user) if told.user is not None else None,
            "key_id": told.key_id,
            "session_id": told.session_id,
        }
        return [Q(**{name: value}) for name, value in named.items() if value is not None]

    def _window(self, size: int) -> tuple[JournalQuerySet, str | None]:
        """The index alone tells where it ends."""
        indexed = self.indexed()
        edge = list(indexed.values_list("turn_id", flat=True)[size - 1 : size + 1])
        if len(edge) < 2:
            return indexed, None
        bound = {"turn_id__gte": edge[0]} if self.order == "-turn_id" else {"turn_id__lte": edge[0]}
        return indexed.filter(**bound), edge[0]


def _earlier(one: str | None, other: str | None) -> str | None:
    return min(one, other) if one is not None and other is not None else one if other is None else other


def _later(one: str | None, other: str | None) -> str | None:
    return max(one or "", other or "") or None


def _scoped(tenant_id: int | None) -> JournalQuerySet:
    return reader.entries().everywhere() if tenant_id is None else reader.entries().for_tenant(tenant_id)


def _found(search: _Search, limit: int) -> tuple[list[AuditEntry], str | None]:
    """At most so many intents in the order of the search, and the id the next page goes on from."""
    if not search.scans:
        return _cut(list(search.indexed()[: limit + 1]), limit, None)
    opens = search.filters.by_bodies
    fitting, last = search.fitting(OPENED if opens else SCANNED)
    found = _opened(search, fitting, limit + 1) if opens else list(fitting[: limit + 1])
    return _cut(found, limit, last)


def _cut(found: list[AuditEntry], limit: int, last: str | None) -> tuple[list[AuditEntry], str | None]:
    """`last` is the turn the search got to, None: to the end."""
    return (found[:limit], found[limit - 1].turn_id) if len(found) > limit else (found, last)


def _conditions(tenant_id: int | None, filters: Filters) -> list[Q]:
    ends = _scoped(tenant_id).filter(kind=Kind.COMPLETION, turn_id=OuterRef("turn_id")).order_by()
    conditions: list[Q] = []
    if filters.state is not None:
        running = filters.state == IN_FLIGHT
        conditions.append(~Q(Exists(ends)) if running else Q(Exists(ends.filter(state=filters.state))))
    for name in ("model", "instance"):
        if (value := getattr(filters, name)) is not None:
            conditions.append(Q(**{name: value}) | Q(Exists(ends.filter(**{name: value}))))
    return conditions


def _opened(search: _Search, fitting: JournalQuerySet, wanted: int) -> list[AuditEntry]:
    """The first so many whose bodies fit too."""
    fits = _judge(search.filters)
    found: list[AuditEntry] = []
    intents = list(fitting)
    for start in range(0, len(intents), CHUNK):
        chunk = intents[start : start + CHUNK]
        turns = entries_by_turn(search.tenant_id, [intent.turn_id for intent in chunk])
        found += [intent for intent in chunk if fits([reader.facts(entry) for entry in turns[intent.turn_id]])]
        if len(found) >= wanted:
            break
    return found[:wanted]


def _judge(filters: Filters) -> Callable[[Sequence[reader.Facts]], bool]:
    def said(verdict: reader.VerdictFact) -> bool:
        return filters.verdict in (None, ANY, verdict.action) and filters.word_list in (None, verdict.list)

    def fits(facts: Sequence[reader.Facts]) -> bool:
        if filters.edge is not None and filters.edge not in [each.edge for each in facts]:
            return False
        if filters.verdict is None and filters.word_list is None:
            return True
        return any(said(verdict) for each in facts for verdict in each.verdicts)

    return fits


def entries_by_turn(
    tenant_id: int | None, turn_ids: Sequence[str], *, kinds: Sequence[str] = (Kind.INTENT, Kind.COMPLETION)
) -> dict[str, list[AuditEntry]]:
    """The turns in this order, each with its entries of these kinds and their bodies, the intent first."""
    turns: dict[str, list[AuditEntry]] = {turn_id: [] for turn_id in turn_ids}
    found = _scoped(tenant_id).defer(None).filter(turn_id__in=turn_ids, kind__in=kinds).order_by()
    for entry in sorted(found, key=lambda entry: (entry.kind != Kind.INTENT, entry.kind, entry.number)):
        turns[entry.turn_id].append(entry)
    return turns


def _summaries(tenant_id: int | None, intents: Sequence[AuditEntry]) -> list[TurnSummary]:
    turns = entries_by_turn(tenant_id, [intent.turn_id for intent in intents])
    firsts = [next(entry for entry in turns[intent.turn_id] if entry.kind == Kind.INTENT) for intent in intents]
    users = reader.users_of(firsts)
    return [_summary(intent, turns[intent.turn_id], user) for intent, user in zip(intents, users, strict=True)]


def _summary(intent: AuditEntry, entries: Sequence[AuditEntry], user: str) -> TurnSummary:
    facts = [reader.facts(entry) for entry in entries]
    end = next((entry for entry in entries if entry.kind == Kind.COMPLETION), None)
    return TurnSummary(
        turn_id=intent.turn_id,
        tenant_id=intent.tenant_id,
        at=intent.at,
        user=user,
        key_id=intent.key_id,
        session_id=intent.session_id,
        edge=next((each.edge for each in facts if each.edge), ""),
        model=intent.model,
        answered_by=end.model if end else "",
        instance=(end.instance if end else "") or intent.instance,
        state=end.state if end else IN_FLIGHT,
        ended=end.at if end else None,
        verdicts=[Judged(each.list, each.action, each.where) for one in facts for each in one.verdicts],
    )
