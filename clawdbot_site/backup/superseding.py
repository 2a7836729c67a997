"""Objects that are here and not in the backup that comes back. They are of entries, jobs and sessions that are gone by
then: results and exports hold text that nobody would find again to erase it, and checkpoints would accuse the restored
journal of having been cut."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Final

from django.core.files.storage import default_storage

from clawdbot_site.objects import walk

FOLDER: Final = "superseded"
EVIDENCE: Final = ("checkpoints/",)  # of entries that were there once: kept, elsewhere
CERTIFICATES: Final = "erasures/"
KEPT: Final = ("backups/", f"{FOLDER}/", CERTIFICATES)


def set_aside(known: Collection[str], say: Callable[[str], object]) -> None:
    """Deletes what is not `known`, but for evidence, which is moved. Safe to repeat. Raises OSError."""
    moved = deleted = 0
    folder = f"{FOLDER}/{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    for name in [name for name in walk(default_storage) if name not in known]:
        if name.startswith(CERTIFICATES):
            say(f"{name} is of an erasure that the backup does not know: ask for it again")
        if name.startswith(KEPT):
            continue
        if name.startswith(EVIDENCE):
            with default_storage.open(name) as file:
                default_storage.save(f"{folder}/{name}", file)
            moved += 1
        else:
            deleted += 1
        default_storage.delete(name)
    if moved:
        say(f"{moved} checkpoints of entries that are gone now lie under {folder}")
    if deleted:
        say(f"{deleted} objects that the backup does not have were deleted")
