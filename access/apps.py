from django.apps import AppConfig

from access.lean import guard_connections


class AccessConfig(AppConfig):
    name = "access"

    def ready(self) -> None:
        from access.console import acting  # noqa: PLC0415  # needs the models, which are loaded by now

        guard_connections()
        acting.connect()
