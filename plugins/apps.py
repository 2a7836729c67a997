from django.apps import AppConfig


class PluginsConfig(AppConfig):
    name = "plugins"
    label = "plugins"

    def ready(self) -> None:
        from plugins.intents import staleness  # noqa: PLC0415  # needs the models, which are loaded by now

        staleness.connect()
