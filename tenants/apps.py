from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "tenants"
    label = "tenants"

    def ready(self) -> None:
        from tenants import changes, live  # noqa: PLC0415  # both need the models, which are loaded by now

        changes.connect()
        live.connect()
