from django.apps import AppConfig

from access.lean import guard_connections


class AccessConfig(AppConfig):
    name = "access"

    def ready(self) -> None:
        guard_connections()
