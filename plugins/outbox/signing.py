"""The secrets of webhooks: made, put anew, and read where something is signed. A rotation leaves the old one good for a
day, so that nobody has to change both sides in the same moment."""

from __future__ import annotations

import base64
import logging
from datetime import timedelta
from typing import Final

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from plugins.models import Webhook
from tenants import webhooks
from tenants.models import Tenant
from tenants.secrets import SealBroken, open_sealed, seal

log = logging.getLogger(__name__)

BOTH: Final = timedelta(days=1)
MOST: Final = 20  # of one tenant


def save_webhook(*, webhook: Webhook, secret: str = "") -> str:
    """Checks and saves; a new secret, else "". `secret`: one that the receiver knows already; one before it ends at
    once. Raises ValidationError."""
    new = webhook._state.adding
    webhook.full_clean()
    if secret:
        _check_secret(secret)
    if webhook.enabled:
        webhook.disabled_reason = ""
    with transaction.atomic():
        if new:
            _check_room(webhook)
        webhook.save()
        if not new and not secret:
            return ""
        secret = secret or webhooks.new_secret()
        webhook.sealed_secret = _sealed(webhook, secret, "sealed_secret")
        webhook.sealed_previous, webhook.previous_until = "", None
        webhook.save(update_fields=["sealed_secret", "sealed_previous", "previous_until"])
        return secret


def secret_of(webhook: Webhook) -> str:
    """Empty: there is none that can be read."""
    return _opened(webhook, "sealed_secret")


def rotate(*, webhook: Webhook) -> str:
    """A new secret; the one before stays good beside it for a day."""
    with transaction.atomic():
        row = Webhook.objects.for_tenant(webhook.tenant_id).select_for_update().get(pk=webhook.pk)
        old, secret = _opened(row, "sealed_secret"), webhooks.new_secret()
        row.sealed_previous = _sealed(row, old, "sealed_previous") if old else ""
        row.previous_until = timezone.now() + BOTH
        row.sealed_secret = _sealed(row, secret, "sealed_secret")
        row.save(update_fields=["sealed_secret", "sealed_previous", "previous_until"])
    return secret


def secrets_of(webhook: Webhook) -> tuple[tuple[str, float | None], ...]:
    """Each with when it ends, in Unix seconds; the newest first."""
    found: list[tuple[str, float | None]] = [(_opened(webhook, "sealed_secret"), None)]
    if webhook.previous_until is not None and webhook.previous_until > timezone.now():
        found.append((_opened(webhook, "sealed_previous"), webhook.previous_until.timestamp()))
    return tuple((secret, until) for secret, until in found if secret)


def _check_secret(secret: str) -> None:
    """Of the length Standard Webhooks asks for. Raises ValidationError."""
    try:
        length = len(base64.b64decode(secret.removeprefix(webhooks.PREFIX), validate=True))
    except ValueError:
        length = 0
    if not secret.startswith(webhooks.PREFIX) or not 24 <= length <= 64:
        raise ValidationError({"secret": _("A secret is whsec_ and the base64 of 24 to 64 bytes.")})


def _check_room(webhook: Webhook) -> None:
    """Two that add the last one at the same time wait for each other. Raises ValidationError."""
    Tenant.objects.select_for_update().filter(pk=webhook.tenant_id).first()
    if Webhook.objects.for_tenant(webhook.tenant_id).count() >= MOST:
        raise ValidationError({"name": _("A tenant has at most %(most)s webhooks.") % {"most": MOST}})


def _sealed(webhook: Webhook, secret: str, field: str) -> str:
    purpose = Webhook.sealed_fields[field]
    return seal(secret, tenant_id=webhook.tenant_id, row_id=webhook.pk, purpose=purpose)


def _opened(webhook: Webhook, field: str) -> str:
    sealed = getattr(webhook, field)
    if not sealed:
        return ""
    try:
        purpose = Webhook.sealed_fields[field]
        return open_sealed(sealed, tenant_id=webhook.tenant_id, row_id=webhook.pk, purpose=purpose)
    except SealBroken as error:
        log.error("the secret of the webhook %s cannot be opened: %s", webhook.pk, error)
        return ""
