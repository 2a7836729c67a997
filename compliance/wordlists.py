"""What can be done to sensitive-word lists. The console, the management API and commands call these.

Every refusal is a django ValidationError with a dictionary of fields. `by` is who does it, for the versions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from django.core.exceptions import ValidationError
from django.db import models, transaction

from compliance.models.subscriptions import WordExceptions, WordListSubscription
from compliance.models.words import Action, SensitiveWordList, WordListVersion
from compliance.validation import clean_words
from tenants.models import Tenant

MOST_LISTS: Final = 100  # of one tenant
MOST_TENANT_WORDS: Final = 300_000  # in all lists of one tenant, which every worker has in memory

CONTENT: Final = ("tenant_id", "name", "action", "direction", "switches", "enabled", "mandatory", "public", "words")
KEPT: Final = ("action", "direction", "switches", "words")  # what a roll-back brings back


class Difference(NamedTuple):
    """What a version has that another had not, and the other way round; `settings`: what else is another, as
    (before, after) by name."""

    added: list[str]
    removed: list[str]
    settings: dict[str, tuple[Any, Any]]


def lists_of(tenant_id: int | None) -> models.QuerySet[SensitiveWordList]:
    """A tenant's own lists; None: the platform's."""
    rows = SensitiveWordList.objects.everywhere()
    return rows.filter(tenant__isnull=True) if tenant_id is None else rows.filter(tenant_id=tenant_id)


def versions_of(words: SensitiveWordList) -> models.QuerySet[WordListVersion]:
    """The newest first."""
    return WordListVersion.objects.everywhere().filter(list_id=words.pk).order_by("-version")


def save_list(*, words: SensitiveWordList, by: str = "", note: str = "") -> SensitiveWordList:
    """Checks and saves: a new version. A list that is stored just like this stays as it is."""
    with transaction.atomic():
        if words.tenant_id is not None:  # two that add the last one at the same time wait for each other
            Tenant.objects.select_for_update().filter(pk=words.tenant_id).first()
        words.full_clean()
        stored = None if words._state.adding else SensitiveWordList._base_manager.filter(pk=words.pk).first()
        if stored is not None and all(getattr(stored, name) == getattr(words, name) for name in CONTENT):
            return words
        if words.tenant_id is not None:
            _check_room(words)
        words.updated_by, words.note = by, note
        words.save()
    return words


def _check_room(words: SensitiveWordList) -> None:
    others = lists_of(words.tenant_id).exclude(pk=words.pk)
    count, size = others.aggregate(count=models.Count("pk"), size=models.Sum("size")).values()
    if words._state.adding and count >= MOST_LISTS:
        raise ValidationError({"name": f"A tenant has at most {MOST_LISTS} lists."})
    if (size or 0) + len(words.words.splitlines()) > MOST_TENANT_WORDS:
        raise ValidationError({"words": f"A tenant's lists hold at most {MOST_TENANT_WORDS} words together."})


def replace_words(
    *,
    tenant: Tenant | None,
    name: str,
    words: Iterable[str],
    action: str | None = None,
    direction: str | None = None,
    enabled: bool | None = None,
    by: str = "",
    note: str = "",
    new_action: str = Action.BLOCK,
    **others: Any,
) -> SensitiveWordList:
    """The tenant's (None: the platform's) list of that name with exactly these words; made if there is none. What is
    not given stays as it is (a new list has the `new_action`, both ways, at once). `others` are `switches`, `mandatory`
    and `public`."""
    lines = "\n".join(clean_words(words))
    with transaction.atomic():
        found = lists_of(tenant.pk if tenant is not None else None).select_for_update().filter(name=name).first()
        changed = found or SensitiveWordList(tenant=tenant, name=name, action=new_action)
        changed.words = lines
        given = {"action": action, "direction": direction, "enabled": enabled, **others}
        for field, value in given.items():
            if value is not None:
                setattr(changed, field, value)
        return save_list(words=changed, by=by, note=note)


def add_words(*, words: SensitiveWordList, more: Iterable[str], by: str = "", note: str = "") -> SensitiveWordList:
    """Those it has not yet, at its end."""
    words.words = "\n".join(clean_words([*words.words.splitlines(), *clean_words(more)]))
    return save_list(words=words, by=by, note=note)


def next_stage(action: str) -> str | None:
    """record, mask, block; None: there is none after."""
    later = Action.values[Action(action).strength + 1 :]
    return later[0] if later else None


def promote(*, words: SensitiveWordList, by: str = "") -> SensitiveWordList:
    """To the next stage."""
    following = next_stage(words.action)
    if following is None:
        raise ValidationError({"action": "It blocks already: that is the last stage."})
    words.action = following
    return save_list(words=words, by=by, note=f"promoted to {following}")


def roll_back(*, words: SensitiveWordList, version: int, by: str = "") -> SensitiveWordList:
    """Words, stage, direction and switches of an earlier version, as a new one."""
    earlier = find_version(words, version)
    for name in KEPT:
        setattr(words, name, getattr(earlier, name))
    return save_list(words=words, by=by, note=f"rolled back to version {version}")


def find_version(words: SensitiveWordList, version: int) -> WordListVersion:
    found = versions_of(words).filter(version=version).first()
    if found is None:
        raise ValidationError({"version": "There is no such version of this list (any more)."})
    return found


def difference(before: WordListVersion, after: WordListVersion) -> Difference:
    old, new = before.words.splitlines(), after.words.splitlines()
    had, has = set(old), set(new)
    fields = ("action", "direction", "switches", "enabled")
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in fields}
    return Difference(
        added=[word for word in new if word not in had],
        removed=[word for word in old if word not in has],
        settings={name: pair for name, pair in pairs.items() if pair[0] != pair[1]},
    )


def subscribe(*, tenant_id: int, words: SensitiveWordList, action: str = "", by: str = "") -> WordListSubscription:
    """The tenant has the platform's list from now on, at this stage ("": the list's)."""
    with transaction.atomic():
        rows = WordListSubscription.objects.for_tenant(tenant_id).select_for_update()
        found = rows.filter(list=words).first()
        row = found or WordListSubscription(tenant_id=tenant_id, list=words)
        if found is not None and found.action == action:
            return found
        row.action, row.updated_by = action, by
        row.full_clean()
        row.save()
    return row


def unsubscribe(*, tenant_id: int, words: SensitiveWordList) -> None:
    """Twice is once. A mandatory list still applies, at its own stage."""
    row = WordListSubscription.objects.for_tenant(tenant_id).filter(list=words).first()
    if row is not None:
        row.delete()


def exceptions_of(tenant_id: int) -> WordExceptions:
    """The tenant's, unsaved where it has none yet."""
    return WordExceptions.objects.for_tenant(tenant_id).first() or WordExceptions(tenant_id=tenant_id)


def save_exceptions(
    *, tenant_id: int, words: Iterable[str] | None = None, add: Iterable[str] = (), remove: Iterable[str] = (),
    by: str = "",
) -> WordExceptions:  # fmt: skip
    """Puts exactly `words` in the place of the tenant's exceptions, or without those adds some and removes others."""
    gone = set(remove)
    with transaction.atomic():
        Tenant.objects.select_for_update().filter(pk=tenant_id).first()
        row = exceptions_of(tenant_id)
        before = row.words
        kept = before.splitlines() if words is None else words
        row.words = "\n".join([*(word for word in kept if word not in gone), *add])
        row.full_clean()
        if row.words != before:
            row.updated_by = by
            row.save()
    return row
