from pathlib import Path

from django.apps import AppConfig
from django.db import connections

from compliance.database import ALIAS


class ComplianceConfig(AppConfig):
    name = "compliance"
    label = "compliance"

    def ready(self) -> None:
        journal = connections[ALIAS]
        if journal.vendor == "sqlite" and not journal.is_in_memory_db():
            Path(journal.settings_dict["NAME"]).parent.mkdir(parents=True, exist_ok=True)
