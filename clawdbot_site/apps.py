from django.apps import AppConfig


class SiteConfig(AppConfig):
    name = "clawdbot_site"
    verbose_name = "Clawdbot"

    def ready(self) -> None:
        # Both register themselves: the system checks, and the Celery application every `shared_task` belongs to.
        from clawdbot_site import celery, checks, row_security  # noqa: F401, PLC0415

        row_security.connect()
