from django.apps import AppConfig

from access.lean import guard_connections


class AccessConfig(AppConfig):
    name = "access"

    def ready(self) -> None:
        from access import (
            configured_intents,  # noqa: PLC0415
            translating,  # noqa: PLC0415  # these need the models, which are loaded by now
        )
        from access.console import acting  # noqa: PLC0415

        guard_connections()
        translating.translate()
        acting.connect()
        configured_intents.connect()
