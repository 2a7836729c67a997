"""Signed checkpoints: made for every tree that grew, written to standard output and object storage, kept in a table."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Callable
from typing import Final

from django.core.files.base import ContentFile
from django.core.files.storage import Storage
from django.db import transaction
from django.db.models import F, Max, OuterRef, Q, Subquery

from compliance.journal.signing import NAME, Signer
from compliance.models import Checkpoint, TreeHead
from compliance.tree.folding import HASH
from compliance.tree.hashing import Frontier
from compliance.tree.notes import origin

FOLDER: Final = "checkpoints"
AT_ONCE: Final = 200

Say = Callable[[str], None]


class Checkpointer:
    """Signs the trees of `alias`. `say` takes one line of JSON a checkpoint; `now` is the clock."""

    def __init__(
        self, alias: str, signer: Signer, storage: Storage, say: Say, *, now: Callable[[], float] = time.time
    ) -> None:
        self._alias = alias
        self._signer = signer
        self._storage = storage
        self._say = say
        self._now = now

    def work(self) -> bool:
        """Signs what grew, publishes what is not yet outside; whether more waits. Raises django.db.Error, OSError."""
        signed = self._sign()
        return self._publish() or signed == AT_ONCE

    def _sign(self) -> int:
        last = Checkpoint.objects.using(self._alias).filter(tenant_id=OuterRef("tenant_id")).order_by("-size")
        heads = TreeHead.objects.using(self._alias).everywhere()
        known = heads.annotate(signed=Subquery(last.values("size")[:1]), before=Subquery(last.values("at")[:1]))
        grown = list(known.filter(Q(signed__isnull=True) | Q(size__gt=F("signed")))[:AT_ONCE])
        with transaction.atomic(using=self._alias):
            Checkpoint.objects.using(self._alias).bulk_create([self._checkpoint(head) for head in grown])
        return len(grown)

    def _checkpoint(self, head: TreeHead) -> Checkpoint:
        at = max(self._now(), head.before or 0.0)  # type: ignore[attr-defined]  # a clock set back goes on, not back
        note = self._signer.note(checkpoint_lines(head.tenant_id, head.size, root_of(head), at))
        return Checkpoint(tenant_id=head.tenant_id, size=head.size, at=at, note=note)

    def _publish(self) -> bool:
        waiting = Checkpoint.objects.using(self._alias).everywhere().filter(published=False).order_by("id")
        some = list(waiting[:AT_ONCE])
        for checkpoint in some:
            text = json.dumps(as_json(checkpoint))
            self._say(text)
            name = object_name(checkpoint.tenant_id, checkpoint.size)
            if not self._storage.exists(name):  # a crash may have come between the object and the row
                self._storage.save(name, ContentFile(text.encode() + b"\n"))
            checkpoint.published = True
            checkpoint.save(using=self._alias, update_fields=["published"])
        return len(some) == AT_ONCE


def checkpoint_lines(tenant_id: int, size: int, root: bytes, at: float, *, kind: str = "") -> list[str]:
    """What is signed: C2SP tlog-checkpoint, and the time as its extension."""
    return [origin(tenant_id) + kind, str(size), b64encode(root).decode(), f"time {at!r}"]


def root_of(head: TreeHead) -> bytes:
    frontier = bytes(head.frontier)
    return Frontier(head.size, [frontier[i : i + HASH] for i in range(0, len(frontier), HASH)]).root()


def as_json(checkpoint: Checkpoint) -> dict[str, object]:
    """A checkpoint as it is handed out. `note` is what was signed; the rest says the same for people."""
    return {
        "checkpoint": checkpoint.size,
        "tenant": checkpoint.tenant_id,
        "root": checkpoint.note.split("\n")[2],
        "at": checkpoint.at,
        "key": NAME,
        "note": checkpoint.note,
    }


def object_name(tenant_id: int, size: int) -> str:
    """Names sort by size."""
    return f"{FOLDER}/{tenant_id}/{size:015d}.json"


def heads(tenant_id: int, alias: str, most: int = 1000) -> list[dict[str, object]]:
    """The tenant's checkpoints, newest first, at most so many."""
    found = Checkpoint.objects.using(alias).filter(tenant_id=tenant_id).order_by("-size")[:most]
    return [as_json(checkpoint) for checkpoint in found]


def signed_size(alias: str, tenant_id: int) -> int:
    """How many of a tenant's leaves a checkpoint covers."""
    found = Checkpoint.objects.using(alias).filter(tenant_id=tenant_id).aggregate(most=Max("size"))["most"]
    return int(found or 0)


def last_signed(alias: str) -> float | None:
    """Unix seconds of the last checkpoint of all; None: there is none yet."""
    last: float | None = Checkpoint.objects.using(alias).everywhere().aggregate(last=Max("at"))["last"]
    return last
