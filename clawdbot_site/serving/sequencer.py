"""The process that does what nobody waits for about the journal: what it has to do, and how it is stopped."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import DatabaseError, connections

from clawdbot_site.serving.telling import Folding, told
from compliance.journal.answering import address_of
from compliance.journal.idempotency import forget_old
from compliance.journal.moving import MOST, move_changes
from compliance.journal.postgres import PostgresStore
from compliance.journal.signing import platform_signer
from compliance.journal.sqlite import SqliteStore
from compliance.journal.store import Store
from compliance.sealing.moving import SealedAppend
from compliance.tree.checkpoints import Checkpointer
from compliance.tree.folding import Folder, NotLeading
from compliance.tree.leading import Leader, lead
from compliance.tree.retention import Retention, Rules, rules
from compliance.tree.sequencing import Duty, Wait, sequence
from compliance.tree.sources import Sources
from tenants.keyring import PLATFORM
from tenants.models import Tenant

log = logging.getLogger("clawdbot.sequencer")

FOLD_EVERY = 0.5  # seconds; who follows the journal learns of an entry within about one
RETENTION_EVERY = 60.0
KEYS_EVERY = 3600.0
IDEMPOTENCY_EVERY = 600.0
CHANGES_EVERY = 0.5
STAND_BY = 1.0  # seconds between two looks at whether another one still leads


def _to_nobody(entries: int) -> None:
    """Nobody counts."""


def serve() -> None:
    """Leads, or stands by until it can, until SIGTERM or SIGINT."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask)
    with told("sequencer") as book:
        run(stop.wait, Folding(book))


def run(wait: Wait, folding: Folding) -> None:
    """`wait(seconds)` pauses and says whether it is time to stop."""
    waiting = False
    while not wait(0.0):
        try:
            leader = lead()
            if leader is None:
                if not waiting:
                    log.info("another sequencer leads; this one stands by")
                waiting = True
                folding.stands_by()
            else:
                waiting = False
                log.info("leading")
                with leader, Sources() as sources:
                    sequence(duties(leader, sources, folding.folded), leads=leader.leads, wait=wait)
        except (DatabaseError, OSError, NotLeading) as error:
            log.error("the sequencer cannot lead: %s", error)
        if wait(STAND_BY):
            return


def duties(leader: Leader, sources: Sources, count: Callable[[int], None] = _to_nobody) -> list[Duty]:
    """All of them, in the order they are seen to. `count` hears how many entries each folding took."""
    folder = Folder(leader.alias)
    signer = platform_signer()
    checkpointer = Checkpointer(leader.alias, signer, default_storage, say)
    store = changes_store(leader)
    append = SealedAppend(store.append)
    retention = Retention(leader.alias, signer, current_rules)

    def fold() -> bool:
        folded = folder.fold(sources.all())
        count(folded)
        return folded > 0

    return [
        Duty("journalling changes", CHANGES_EVERY, lambda: move_changes(append, store.worker, _there) == MOST),
        Duty("folding entries into the tree", FOLD_EVERY, fold),
        Duty("signing checkpoints", settings.CHECKPOINT_SECONDS, checkpointer.work),
        Duty("removing what is past its retention", RETENTION_EVERY, retention.work),
        Duty("forgetting idempotency keys", IDEMPOTENCY_EVERY, forget_old),
        Duty("removing keys that seal nothing", KEYS_EVERY, retention.remove_keys),
    ]


def current_rules() -> Rules:
    """How long every tenant's turns are kept, as its row says now."""
    connections["default"].close_if_unusable_or_obsolete()  # no request ends here, which would see to it
    return rules(settings.JOURNAL_RETENTION_DAYS)


def changes_store(leader: Leader) -> Store:
    """What changes of configuration are journalled with: on SQLite the file whose lock the leader holds."""
    worker = f"sequencer-{os.getpid()}"
    if leader.slot is not None:
        return SqliteStore(leader.slot, worker)
    return PostgresStore(address_of(connections[leader.alias].settings_dict), worker)


def _there(tenant_id: int) -> bool:
    """Whether what concerns this tenant can be sealed with a key of its own: it is the platform, or not gone."""
    return tenant_id == PLATFORM or Tenant.objects.filter(pk=tenant_id).exists()


def say(line: str) -> None:
    """Standard output is where checkpoints leave the machine: whoever collects it cannot be made to forget."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
