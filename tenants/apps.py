from django.apps import AppConfig


class TenantsConfig(AppConfig):
    name = "tenants"
    label = "tenants"

    def ready(self) -> None:
        from tenants import live  # noqa: F401, PLC0415  # connects its receivers once the models exist
