from django.apps import AppConfig

from access.lean import guard_connections


class AccessConfig(AppConfig):
    name = "access"

    def ready(self) -> None:
        from access import translating  # noqa: PLC0415  # these need the models, which are loaded by now
        from access.console import acting  # noqa: PLC0415
        from access.database_file import DatabaseSection  # noqa: PLC0415
        from access.intent_file import IntentSection, IntentSettingsSection  # noqa: PLC0415
        from access.plugin_file import PluginSection  # noqa: PLC0415
        from access.webhook_file import WebhookSection  # noqa: PLC0415
        from routing.configuration import SECTIONS  # noqa: PLC0415

        guard_connections()
        translating.translate()
        acting.connect()
        SECTIONS["databases"] = DatabaseSection()
        SECTIONS["plugins"] = PluginSection()
        SECTIONS["intents"] = IntentSection()
        SECTIONS["intent_settings"] = IntentSettingsSection()
        SECTIONS["webhooks"] = WebhookSection()
