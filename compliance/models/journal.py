"""The journal as tables. Migrations make them and the ORM reads them; only `compliance.journal` writes them."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import models

from tenants.scoping import ScopedManager, ScopedQuerySet


class AppendOnly(TypeError):
    """Somebody tried to write the journal through the ORM: a mistake in the program."""


class JournalQuerySet(ScopedQuerySet["AuditEntry"]):
    """Scoped by tenant like every tenant's table, and for reading only."""

    def create(self, **kwargs: Any) -> NoReturn:
        raise AppendOnly("the journal is written by its writer only")

    def bulk_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly("the journal is written by its writer only")

    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnly("a journal entry never changes")

    def delete(self) -> NoReturn:
        raise AppendOnly("a journal entry is never deleted")


JournalManager = models.Manager.from_queryset(JournalQuerySet)


class AuditEntry(models.Model):
    """One append-only entry. `tenant_id` is a plain number: tenants live in another database.

    `id` is the order of writing inside one worker; turn ids sort by time, so listings run by `turn_id`. `body` is the
    JSON of an `engine.entries` struct exactly as it was committed; the columns beside it are for finding it.
    `user` is the intent's, `key_id` stands with both; `state` is the completion's."""

    class Kind(models.TextChoices):
        INTENT = "intent", "Intent"
        COMPLETION = "completion", "Completion"
        PARTIAL = "partial", "Partial output"
        CHANGE = "change", "Change of configuration"
        SESSION = "session", "Change of a session"

    class State(models.TextChoices):
        COMPLETED = "completed", "Completed"
        REFUSED = "refused", "Refused"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"
        ABORTED = "aborted", "Aborted"

    turn_id = models.CharField(max_length=64)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    number = models.PositiveIntegerField(default=0, help_text="Tells apart the partial outputs of one turn.")
    tenant_id = models.BigIntegerField()
    at = models.FloatField(help_text="Unix seconds.")
    worker = models.CharField(max_length=64)
    # NULL rather than '' so that turns without a session cost nothing in the partial index
    session_id = models.CharField(max_length=200, null=True)  # noqa: DJ001
    user = models.CharField(max_length=300)
    key_id = models.BigIntegerField(null=True)
    model = models.CharField(max_length=200)
    instance = models.CharField(max_length=200)
    state = models.CharField(max_length=16, choices=State.choices)
    body = models.BinaryField()

    objects = JournalManager()

    class Meta:
        ordering = ["-turn_id", "id"]
        verbose_name = "journal entry"
        verbose_name_plural = "journal"
        constraints = [models.UniqueConstraint(fields=["turn_id", "kind", "number"], name="audit_once")]
        # every index costs each turn a few microseconds: only intents are listed, so only they are in them
        indexes = [
            models.Index(fields=["tenant_id", "turn_id"], name="audit_by_tenant", condition=models.Q(kind="intent")),
            models.Index(
                fields=["tenant_id", "session_id", "turn_id"],
                name="audit_by_session",
                condition=models.Q(kind="intent", session_id__isnull=False),
            ),
            models.Index(
                fields=["tenant_id", "user", "turn_id"], name="audit_by_user", condition=models.Q(kind="intent")
            ),
            models.Index(
                fields=["tenant_id", "key_id", "turn_id"],
                name="audit_by_key",
                condition=models.Q(kind="intent", key_id__isnull=False),
            ),
            # turns are in none of these, so they cost them nothing
            models.Index(fields=["tenant_id", "turn_id"], name="audit_changes", condition=models.Q(kind="change")),
            models.Index(fields=["turn_id"], name="audit_all_changes", condition=models.Q(kind="change")),
            models.Index(
                fields=["tenant_id", "session_id", "turn_id"],
                name="audit_session_changes",
                condition=models.Q(kind="session"),
            ),
            models.Index(
                fields=["tenant_id", "user", "state"],
                name="audit_sessions_made",
                condition=models.Q(kind="session", state__in=["branched", "deleted", "expired"]),
            ),
            models.Index(fields=["tenant_id", "turn_id"], name="audit_of_sessions", condition=models.Q(kind="session")),
            models.Index(fields=["turn_id"], name="audit_all_of_sessions", condition=models.Q(kind="session")),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.turn_id}"

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly("the journal is written by its writer only")

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnly("a journal entry is never deleted")


class SubjectKey(models.Model):
    """The data key of a subject (a user of a tenant): what entries about it are sealed with. Without it their text
    cannot be read by anybody: deleting the rows of a subject is its erasure.

    `subject` is a keyed hash of the user's id. A subject has a key a journal file at least. `wrapped` is the data key
    sealed with the tenant's key."""

    id = models.CharField(max_length=32, primary_key=True)
    tenant_id = models.BigIntegerField()
    subject = models.CharField(max_length=64)
    wrapped = models.BinaryField()
    created_at = models.FloatField(help_text="Unix seconds.")

    objects = ScopedManager()

    class Meta:
        indexes = [models.Index(fields=["tenant_id", "subject"], name="subject_key_by_subject")]

    def __str__(self) -> str:
        return self.id


class JournalWorker(models.Model):
    """A process that writes the journal, or one that died and whose open turns are not closed yet.

    `heartbeat` is written every second. No open turn of the worker has an id below `oldest_open`. Where entries may
    wait on the worker's own disk (`spool`), only who has that disk knows what is open. `slot` is SQLite's."""

    worker = models.CharField(max_length=64, primary_key=True)
    slot = models.PositiveSmallIntegerField()
    started = models.FloatField(help_text="Unix seconds.")
    heartbeat = models.FloatField(help_text="Unix seconds.")
    oldest_open = models.CharField(max_length=64)
    spool = models.BooleanField(db_default=False, help_text="What the database did not take may wait on its disk.")

    class Meta:
        ordering = ["slot", "started"]

    def __str__(self) -> str:
        return self.worker
