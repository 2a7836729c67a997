"""Seals the secrets of second factors again with the first master key: they lie in a table of django-allauth's, where
`tenants.rotating` does not look."""

from __future__ import annotations

from typing import Any, Final

from allauth.mfa.models import Authenticator
from django.db import transaction

from access.people.adapters import PURPOSE
from tenants.rotating import Rotated
from tenants.secrets import SealBroken, Vault, platform_vault

NAMES: Final = ("secret", "seed")
PLACE: Final[dict[str, Any]] = {"tenant_id": None, "row_id": 0, "purpose": PURPOSE}


def seal_again(told: Rotated, *, only_look: bool = False) -> None:
    """Blocking; adds to `told`. Safe to repeat and to break off."""
    vault = platform_vault()
    for number in list(Authenticator.objects.order_by("pk").values_list("pk", flat=True)):
        with transaction.atomic():
            factor = Authenticator.objects.select_for_update().filter(pk=number).first()
            if factor is not None and _renewed(factor, vault, told) and not only_look:
                factor.save(update_fields=["data"])


def _renewed(factor: Authenticator, vault: Vault, told: Rotated) -> bool:
    changed = False
    for name in NAMES:
        sealed = factor.data.get(name)
        if not sealed or vault.is_current(sealed):
            told.current += bool(sealed)
            continue
        try:
            factor.data[name] = vault.seal(vault.open(sealed, **PLACE), **PLACE)
        except SealBroken:
            told.broken.append(f"second factor {factor.pk}")
            continue
        told.sealed += 1
        changed = True
    return changed
