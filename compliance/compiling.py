"""From rows of word lists to what the guard reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, cast

from django.db import models

from compliance.guard import GuardTable, TenantWords
from compliance.models.subscriptions import WordExceptions, WordListSubscription
from compliance.models.words import Action, SensitiveWordList
from compliance.words import Action as ActionName
from compliance.words import Rule, WordMatcher

Applied = tuple[int, int, str]  # a list's id and version, and what is done here about its hits
Excepted = tuple[int, int]  # the id and version of a tenant's exceptions
Key = tuple[tuple[Applied, ...], Excepted | None]

WAYS: Final = ("input", "output")
LARGE: Final = 5_000  # words of a platform list from which on one automaton of its own is shared by all who have it


class Listed(NamedTuple):
    """A list as the matcher takes it."""

    rule: Rule
    words: Sequence[str]
    switches: frozenset[str]


def matcher(lists: Iterable[Listed], exceptions: Iterable[str] = ()) -> WordMatcher | None:
    """The words of the lists, compiled; None where there is no list."""
    given = list(lists)
    return WordMatcher(given, exceptions) if given else None


def listed(row: SensitiveWordList, action: str | None = None) -> Listed:
    """A row, with another action than its own where one is given."""
    scope: Literal["tenant", "platform"] = "platform" if row.tenant_id is None else "tenant"
    rule = Rule(row.name, row.version, cast(ActionName, action or row.action), row.pk, scope, row.mandatory)
    return Listed(rule, row.words.splitlines(), frozenset(row.switches))


def compile_guard(previous: GuardTable | None = None) -> GuardTable:
    """What applies to every tenant, compiled: its own enabled lists, the platform's mandatory ones and those it
    subscribed to. Tenants to whom the same applies as to one of `previous` or another tenant share its words.

    About a third of a second and less than 45 MiB for 60,000 words, so it belongs in a thread of its own."""
    known: dict[Key, TenantWords] = {}
    if previous is not None:
        for words in (*previous.tenants.values(), *([previous.default] if previous.default is not None else [])):
            known[words.lists, words.exceptions] = words
    choices = _Choices()
    load = _Loader(previous.shared if previous is not None else {})
    usual = choices.key(None)
    default = known.get(usual) or load.words(usual) if usual[0] else None
    found: dict[int, TenantWords] = {}
    for tenant_id in sorted(choices.tenants):
        key = choices.key(tenant_id)
        if key[0]:
            found[tenant_id] = known.get(key) or known.setdefault(key, load.words(key, tenant_id, default))
    return GuardTable(tenants=found, default=default, shared=load.shared(choices))


class _Choices:
    """Which lists apply to whom, read once: everything but the words."""

    def __init__(self) -> None:
        rows = SensitiveWordList.objects.everywhere().filter(enabled=True, size__gt=0).order_by("id")
        self._own: dict[int, list[Applied]] = defaultdict(list)
        self._shared: dict[int, Applied] = {}
        self._mandatory: set[int] = set()
        found: Iterable[tuple[int, int | None, int, str, bool]] = rows.values_list(
            "id", "tenant_id", "version", "action", "mandatory"
        )
        for pk, tenant_id, version, action, mandatory in found:
            if tenant_id is not None:
                self._own[tenant_id].append((pk, version, action))
                continue
            self._shared[pk] = (pk, version, action)
            if mandatory:
                self._mandatory.add(pk)
        self._subscribed: dict[int, dict[int, str]] = defaultdict(dict)
        subscriptions = WordListSubscription.objects.everywhere().order_by("list_id")
        for tenant_id, list_id, action in subscriptions.values_list("tenant_id", "list_id", "action"):
            if list_id in self._shared:
                self._subscribed[tenant_id][list_id] = action
        exceptions = WordExceptions.objects.everywhere().filter(size__gt=0).order_by("id")
        self._excepted: dict[int, Excepted] = {
            tenant_id: (pk, version) for tenant_id, pk, version in exceptions.values_list("tenant_id", "id", "version")
        }

    @property
    def tenants(self) -> set[int]:
        return {*self._own, *self._subscribed, *self._excepted}

    def key(self, tenant_id: int | None) -> Key:
        """None: a tenant that chose nothing."""
        own = self._own.get(tenant_id, []) if tenant_id is not None else []
        chosen = self._subscribed.get(tenant_id, {}) if tenant_id is not None else {}
        shared = [
            (pk, version, stage(action, chosen.get(pk, ""), mandatory=pk in self._mandatory))
            for pk, version, action in self._shared.values()
            if pk in self._mandatory or pk in chosen
        ]
        excepted = self._excepted.get(tenant_id) if tenant_id is not None else None
        return tuple(sorted([*own, *shared])), excepted


def stage(action: str, chosen: str, *, mandatory: bool) -> str:
    """What is done about a hit of a platform list at a tenant that chose a stage of its own (or none: ""). A mandatory
    list can only be made stronger."""
    if mandatory and chosen and Action(chosen).strength < Action(action).strength:
        return action
    return chosen or action


class _Loader:
    """Reads the words of what is to be compiled, each list once however many tenants have it, and compiles large lists
    of the platform's once for all."""

    def __init__(self, known: Mapping[tuple[int, int], WordMatcher]) -> None:
        self._rows: dict[int, SensitiveWordList] = {}
        self._known = dict(known)

    def words(self, key: Key, tenant_id: int | None = None, mandatory: TenantWords | None = None) -> TenantWords:
        """What was changed or deleted since the key was read is compiled as it is now and says so: the next look at
        the versions finds it again."""
        applied, excepted = key
        self._read([pk for pk, _, _ in applied])
        rows = [(self._rows[pk], action) for pk, _, action in applied if pk in self._rows]
        exceptions: list[str] = []
        if excepted is not None:
            kept = WordExceptions.objects.everywhere().filter(tenant_id=tenant_id).values_list("words", flat=True)
            exceptions = effective((kept.first() or "").splitlines(), mandatory)
        ways = [[pair for pair in rows if pair[0].direction in ("both", way)] for way in WAYS]
        asked = self._compiled(ways[0], exceptions)
        answered = asked if ways[0] == ways[1] else self._compiled(ways[1], exceptions)
        lists = tuple((row.pk, row.version, action) for row, action in rows)
        return TenantWords(lists=lists, exceptions=excepted, input=asked, output=answered)

    def shared(self, choices: _Choices) -> dict[tuple[int, int], WordMatcher]:
        """The large lists of the platform's that somebody has, for the next compilation to take over."""
        used = {(pk, version) for tenant in (None, *choices.tenants) for pk, version, _ in choices.key(tenant)[0]}
        return {key: words for key, words in self._known.items() if key in used}

    def _compiled(self, rows: Sequence[tuple[SensitiveWordList, str]], exceptions: Sequence[str]) -> WordMatcher | None:
        """Exceptions are compiled together with what they are exceptions to: who has some shares nothing."""
        large = [] if exceptions else [pair for pair in rows if pair[0].tenant_id is None and pair[0].size >= LARGE]
        rest = matcher([listed(*pair) for pair in rows if pair not in large], exceptions)
        if not large:
            return rest
        return WordMatcher.joined([*(self._part(*pair) for pair in large), *([rest] if rest is not None else [])])

    def _part(self, row: SensitiveWordList, action: str) -> WordMatcher:
        key = (row.pk, row.version)
        if key not in self._known:
            self._known[key] = WordMatcher([listed(row)])
        return self._known[key].ruled(listed(row, action).rule)

    def _read(self, wanted: Iterable[int]) -> None:
        missing = [pk for pk in wanted if pk not in self._rows]
        if missing:
            found: models.QuerySet[SensitiveWordList] = SensitiveWordList.objects.everywhere().filter(pk__in=missing)
            self._rows.update({row.pk: row for row in found})


def effective(exceptions: Sequence[str], mandatory: TenantWords | None) -> list[str]:
    """The exceptions that hold no word of the platform's mandatory lists (the table's `default`): nobody takes himself
    out of one."""
    if mandatory is None:
        return list(exceptions)
    ways = [words for words in (mandatory.input, mandatory.output) if words is not None]
    return [each for each in exceptions if not any(words.find(each) for words in ways)]
