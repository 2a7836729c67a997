from django.apps import AppConfig
from django.core.signals import request_finished
from django.db import connections


class SiteConfig(AppConfig):
    name = "clawdbot_site"
    verbose_name = "Clawdbot"

    def ready(self) -> None:
        # Both register themselves: the system checks, and the Celery application every `shared_task` belongs to.
        from clawdbot_site import celery, checks, row_security  # noqa: F401, PLC0415

        row_security.connect()
        request_finished.connect(_close_servers, dispatch_uid="clawdbot_site.apps")


def _close_servers(**_: object) -> None:
    """A page runs in a thread of its own, whose connections nobody uses again: kept for later, as those of the threads
    of `access.management.rows` are, they would be as many as a server allows within a hundred pages."""
    for connection in connections.all(initialized_only=True):
        if connection.vendor == "postgresql" and not connection.in_atomic_block:
            connection.close()
