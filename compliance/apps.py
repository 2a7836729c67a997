from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_migrate

from compliance.database import first_file


class ComplianceConfig(AppConfig):
    name = "compliance"
    label = "compliance"

    def ready(self) -> None:
        from compliance import changes  # noqa: PLC0415  # needs the app registry
        from compliance.journal import union  # noqa: PLC0415  # needs the app registry

        changes.connect()
        first = first_file()
        if first is not None:
            first.parent.mkdir(parents=True, exist_ok=True)  # SQLite makes files, not folders
        connection_created.connect(union.on_connection_created)
        pre_migrate.connect(union.on_pre_migrate, sender=self)
        post_migrate.connect(union.on_post_migrate, sender=self)
