"""What a member, a key or a model of a tenant may use, or everybody of the platform: given, changed and taken away. The
admin, the console and the management API call these.

Every refusal is a django ValidationError with a dictionary of fields."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from tenants.models import Allowance, ApiKey, Member, Tenant

MONEY: Final = ("money_per_day", "money_per_month")
COUNTS: Final = ("requests_per_minute", "tokens_per_minute", "concurrent_turns")
LIMITS: Final = (*COUNTS, *MONEY, "at_limit")


def save_allowance(
    *,
    tenant: Tenant | None,
    of: str,
    member: Member | None = None,
    key: ApiKey | None = None,
    model: str = "",
    **limits: Any,
) -> Allowance:
    """The one of this subject, made or changed. `of` is `member`, `key`, `model` or `platform` (with no tenant; a model
    of no tenant is that model for everybody). `limits` are of `LIMITS`; one that is not named stays as it is, None is
    no limit. Raises ValidationError."""
    unknown = sorted(limits.keys() - set(LIMITS))
    if unknown:
        raise ValidationError({unknown[0]: _("There is no such limit.")})
    with transaction.atomic():
        row = _existing(tenant, of, member, key, model)
        created = row is None
        if row is None:
            row = Allowance(tenant=tenant, of=of, member=member, key=key, model=model)
        for name, value in limits.items():
            setattr(row, name, _amount(name, value) if name in MONEY else value)
        _clean(row)
        try:
            with transaction.atomic():
                row.save(force_insert=created)
        except IntegrityError:  # somebody else was first
            raise ValidationError({_subject_field(row): _("There is one for this already.")}) from None
    return row


def copy_limits(*, key: ApiKey, to: ApiKey) -> None:
    """What one key may use, another may use, too."""
    found = _existing(key.tenant, Allowance.Of.KEY, None, key, "")
    if found is not None:
        limits = {name: getattr(found, name) for name in LIMITS}
        save_allowance(tenant=to.tenant, of=Allowance.Of.KEY, key=to, **limits)


def remove_allowance(*, allowance: Allowance) -> None:
    """From the next second on its subject has no limits of its own."""
    allowance.delete()


def _existing(
    tenant: Tenant | None, of: str, member: Member | None, key: ApiKey | None, model: str
) -> Allowance | None:
    rows = Allowance.objects.filter(tenant=tenant) if tenant else Allowance.objects.filter(tenant__isnull=True)
    found: Allowance | None = rows.filter(of=of, member=member, key=key, model=model).select_for_update().first()
    return found


def _amount(name: str, value: Any) -> Decimal | None:
    """Of a number or what people type; floating point by what it is written as."""
    if value is None or value == "":
        return None
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise ValidationError({name: _("Enter a number.")})
    return amount


def _clean(row: Allowance) -> None:
    """Puts what a constraint over several fields says beside the field people can change."""
    try:
        row.full_clean()
    except ValidationError as error:
        messages = error.message_dict
        if "__all__" in messages:
            messages.setdefault(_subject_field(row), []).extend(messages.pop("__all__"))
        raise ValidationError(messages) from None


def _subject_field(row: Allowance) -> str:
    return row.of if row.of in ("member", "key", "model") else "of"
