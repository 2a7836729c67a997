"""Where the journal lives: on its own database alias, with its own writer; nothing else is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from django.db import connections, models

ALIAS: Final = "journal"
JOURNAL_MODELS: Final = frozenset(
    {"auditentry", "journalworker", "subjectkey", "idempotency"}
    | {"usagerow", "usagetotal", "usagetiming"}
    | {"treerun", "treenode", "treehead", "treecursor", "checkpoint", "prunestatement"}  # the sequencer's
)


def is_journal(alias: str) -> bool:
    """The alias itself, or the `journal-<number>` a further slot file is migrated under."""
    return alias == ALIAS or alias.startswith(f"{ALIAS}-")


def first_file() -> Path | None:
    """The journal's first SQLite file; None when it is no file but a server or memory."""
    settings = connections[ALIAS].settings_dict
    name = str(settings["NAME"])
    if connections[ALIAS].vendor != "sqlite" or name == ":memory:" or name.startswith("file:"):
        return None
    return Path(name)


def renew(alias: str) -> None:
    """Before a read in a thread of its own: a connection to a server may be broken or too old. One to a file is not,
    and opening it anew, with all the slots' files, costs far more than the query."""
    connection = connections[alias]
    if connection.vendor != "sqlite" and not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()


class JournalRouter:
    """Reads and migrations of the journal's models go to `journal`; every other model stays where it is.

    A data migration of the journal says so with `hints={"journal": True}`."""

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        return ALIAS if _on_journal(model) else None

    def db_for_write(self, model: type[models.Model], **hints: Any) -> str | None:
        return self.db_for_read(model)

    def allow_relation(self, one: models.Model, other: models.Model, **hints: Any) -> bool | None:
        # request.user is a lazy stand-in: only its __class__ is the model's
        return False if _on_journal(one.__class__) != _on_journal(other.__class__) else None

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: Any) -> bool:
        if model_name is None:
            return is_journal(db) == bool(hints.get("journal"))
        return is_journal(db) == (app_label == "compliance" and model_name.lower() in JOURNAL_MODELS)


def _on_journal(model: type[models.Model]) -> bool:
    return model._meta.app_label == "compliance" and model._meta.model_name in JOURNAL_MODELS
