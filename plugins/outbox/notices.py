"""Tells a tenant's owners and admins that a webhook was switched off. Blocking: for background work."""

from __future__ import annotations

from django.utils.translation import gettext as _

from plugins.models import Webhook
from tenants.warning import mail_each, people_to_warn


def tell_switched_off(tenant_id: int, webhook_id: int, had: set[int] | None = None) -> int:
    """How many mails were sent, none to those who `had` theirs and none if it is on again. Raises as `mail_each`."""
    webhook = (
        Webhook.objects.for_tenant(tenant_id).filter(pk=webhook_id, enabled=False).select_related("tenant").first()
    )
    if webhook is None:
        return 0

    def worded() -> tuple[str, str]:
        facts = {"name": webhook.name, "tenant": webhook.tenant.name, "reason": webhook.disabled_reason}
        subject = _("The webhook %(name)s of %(tenant)s is switched off") % facts
        text = _(
            "It could not be reached for too long (%(reason)s), so no more events are sent there. Switch it on "
            "again in the console: it goes on where it stopped."
        )
        return subject, f"{subject}.\n\n{text % facts}\n"

    return mail_each(people_to_warn(webhook.tenant), worded, had)
