"""`manage.py publisher`: hands the events of tenants to their message queues and webhooks."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from clawdbot_site.serving import publisher


class Command(BaseCommand):
    help = "Publishes events to the tenants' queues and webhooks. Several may run: each sink has one at a time."

    def handle(self, *args: Any, **options: Any) -> None:
        publisher.serve()
