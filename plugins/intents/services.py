"""What can be done to a tenant's intents. The console, the management API and `loadconfig` call these, or save the rows
themselves: that what was learnt is out of date follows from any change (`plugins.intents.staleness`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from plugins.intents import staleness
from plugins.intents.validation import MOST_INTENTS, MOST_TOGETHER, clean_utterances
from plugins.models import Intent, IntentSettings, TrainedIntents
from tenants.models import Tenant


def intents_of(tenant_id: int) -> Any:
    return Intent.objects.for_tenant(tenant_id).order_by("name")


def settings_of(tenant_id: int) -> IntentSettings:
    """Unsaved where the tenant has none."""
    return IntentSettings.objects.for_tenant(tenant_id).first() or IntentSettings(tenant_id=tenant_id)


def trained_of(tenant_id: int) -> TrainedIntents:
    """Without the model's bytes; unsaved where nothing was ever learnt."""
    row = TrainedIntents.objects.for_tenant(tenant_id).defer("model").first()
    return row or TrainedIntents(tenant_id=tenant_id)


def save_intent(*, intent: Intent) -> Intent:
    """Checks and saves. One that is stored just like this stays as it is. Raises ValidationError."""
    with transaction.atomic():
        Tenant.objects.select_for_update().filter(pk=intent.tenant_id).first()  # the last place is taken once
        intent.full_clean()
        stored = None if intent._state.adding else Intent._base_manager.filter(pk=intent.pk).first()
        kept = ("name", "description", "utterances", "enabled")
        if stored is not None and all(getattr(stored, name) == getattr(intent, name) for name in kept):
            return intent
        check_room(intent)
        intent.save()
    return intent


def save_settings(*, settings: IntentSettings) -> IntentSettings:
    """Raises ValidationError."""
    settings.full_clean()
    settings.save()
    return settings


def learn_again(tenant_id: int) -> None:
    """Queues a training though nothing changed."""
    if intents_of(tenant_id).exists():
        staleness.outdate(tenant_id)


def lines(texts: Iterable[str], field: str) -> str:
    """Cleaned before they are put together: a line break inside of one is a space. Raises ValidationError."""
    try:
        return "\n".join(clean_utterances(texts))
    except ValidationError as error:
        raise ValidationError({field: error}) from None


def replace_all(*, tenant: Tenant, wanted: dict[str, dict[str, Any]]) -> tuple[int, int, int, int]:
    """Makes the tenant's intents exactly those, fields by name; what is left out of one gets its default. How many
    were made, changed, left as they were and removed. All or nothing. Raises ValidationError, with the intent's name in
    its message."""
    made = changed = same = 0
    with transaction.atomic():
        known = {row.name: row for row in intents_of(tenant.pk).select_for_update()}
        gone = [row for name, row in known.items() if name not in wanted]
        for row in gone:
            row.delete()
        for name, fields in wanted.items():
            row = known.get(name) or Intent(tenant=tenant, name=name)
            before = (row.description, row.utterances, row.enabled)
            row.description = fields.get("description", "")
            row.utterances = "\n".join(fields.get("utterances", ()))
            row.enabled = fields.get("enabled", True)
            new = row._state.adding
            try:
                save_intent(intent=row)
            except ValidationError as error:
                raise ValidationError([f"{name}: {message}" for message in error.messages]) from None
            made += new
            if not new:
                unchanged = before == (row.description, row.utterances, row.enabled)
                same += unchanged
                changed += not unchanged
    return made, changed, same, len(gone)


def check_room(intent: Intent) -> None:
    """Raises ValidationError: the tenant has as many as it may."""
    others = list(intents_of(intent.tenant_id).exclude(pk=intent.pk).values_list("utterances", flat=True))
    if intent._state.adding and len(others) >= MOST_INTENTS:
        raise ValidationError({"name": f"A tenant has at most {MOST_INTENTS} intents."})
    together = sum(text.count("\n") + 1 for text in others if text) + len(intent.examples)
    if together > MOST_TOGETHER:
        raise ValidationError({"utterances": f"A tenant's intents have at most {MOST_TOGETHER} examples together."})


def add_examples(*, tenant: Tenant, found: dict[str, list[str]]) -> tuple[int, int]:
    """Gives intents more examples, those that are not there yet are made. How many intents were touched, and how many
    examples they have now. All or nothing. Raises ValidationError, with the intent's name in its message."""
    examples = 0
    with transaction.atomic():
        for name, more in found.items():
            row = intents_of(tenant.pk).filter(name=name).first() or Intent(tenant=tenant, name=name)
            try:
                row.utterances = lines([*row.examples, *more], "utterances")
                save_intent(intent=row)
            except ValidationError as error:
                raise ValidationError([f"{name[:64]}: {message}" for message in error.messages]) from None
            examples += len(row.examples)
    return len(found), examples
