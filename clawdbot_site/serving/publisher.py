"""The process that hands tenants' events to their queues and webhooks, and looks after alerts: what it is made of, and
how it is stopped."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType

from django.conf import settings
from django.db import transaction

from access.alerting import running as alerting
from access.journal_events import JournalEvents
from clawdbot_site.serving.telling import told
from plugins.models import Webhook
from plugins.outbox.declared import Declared
from plugins.outbox.figures import Figures
from plugins.outbox.publishing import Publisher, Wait
from plugins.tasks import tell_switched_off

log = logging.getLogger("clawdbot.publisher")

DAY = 24 * 3600.0
LEAVING = 10.0  # seconds for a mail that is being sent; what is not told yet stays in its row


def serve() -> None:
    """Publishes until SIGTERM or SIGINT."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    with told("publisher"):
        run(stop.wait)


def run(wait: Wait) -> None:
    """`wait(seconds)` pauses and says whether it is time to stop."""
    alerts = threading.Thread(target=alerting.run, args=(wait,), name="alerts", daemon=True)
    alerts.start()  # beside it: a receiver that is slow must not keep an alert waiting
    publisher().run(wait)
    alerts.join(LEAVING)


def publisher() -> Publisher:
    most_failing = settings.WEBHOOK_FAILING_DAYS * DAY
    return Publisher(
        JournalEvents(), switch_off, most_failing=most_failing, told=Figures(settings.VALKEY_NODES[0]).tell
    )


def switch_off(it: Declared, error: str) -> None:
    """A webhook that failed for too long, or says that it is gone. Its owners are told by mail."""
    with transaction.atomic():
        row = Webhook.objects.for_tenant(it.tenant_id).select_for_update().filter(pk=it.webhook, enabled=True).first()
        if row is None:
            return
        row.enabled = False
        row.disabled_reason = error[:200]
        row.save(update_fields=["enabled", "disabled_reason"])
    log.warning("the webhook %s of %s is switched off: %s", it.webhook, it.slug, error)
    try:
        tell_switched_off.delay(it.tenant_id, it.webhook)
    except Exception as failure:  # noqa: BLE001 - border: whatever the broker's client raises, the console shows it too
        log.error("nobody could be told that the webhook %s is switched off: %s", it.webhook, failure)
