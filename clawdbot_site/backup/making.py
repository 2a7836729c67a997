"""Makes a backup, while everything runs."""

from __future__ import annotations

import hashlib
import hmac
import logging
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import Error as DatabaseFailure

from clawdbot_site.backup import sessions, sql
from clawdbot_site.backup.packing import CHUNK, Pack, writing
from clawdbot_site.objects import walk
from engine.errors import EngineError

log = logging.getLogger(__name__)

STORAGE: Final = "storage"  # in the place of a folder
FOLDER: Final = "backups"  # in object storage
CHECKPOINTS: Final = "checkpoints"
ENDING: Final = ".tar.gz"
WORKSHOP: Final = ".backup-"  # a folder beside the file, for copies
ABANDONED: Final = 86_400.0  # seconds after which nobody works on a file any more
FAILURES: Final = (OSError, sqlite3.Error, psycopg.Error, DatabaseFailure, EngineError)


class Made(msgspec.Struct):
    """`away`: tenants whose stores could not be read; the journal has what they hold."""

    name: str
    size: int = 0
    sessions: int = 0
    objects: int = 0
    away: list[str] = []


def make(to: str, *, keys: bool = False, keep: int = 0) -> Made:
    """A backup in the folder `to`, or in object storage; of the ones there the newest `keep` stay (0: all). With `keys`
    the master key and the signing key are inside. Blocking. Raises one of FAILURES."""
    name = f"clawdbot-{datetime.now(UTC):%Y%m%dT%H%M%SZ}{ENDING}"
    if to == STORAGE:
        with tempfile.TemporaryDirectory(prefix="clawdbot-backup-") as folder:
            made = _make(Path(folder) / name, keys)
            with (Path(folder) / name).open("rb") as file:
                made.name = default_storage.save(f"{FOLDER}/{name}", File(file))
        _prune_storage(keep)
        return made
    made = _make(Path(to) / name, keys)
    for old in sorted(Path(to).glob(f"clawdbot-*{ENDING}"))[:-keep] if keep else ():
        old.unlink()
    return made


def _prune_storage(keep: int) -> None:
    names = sorted(name for name in default_storage.listdir(FOLDER)[1] if name.endswith(ENDING))
    for name in names[:-keep] if keep else ():
        default_storage.delete(f"{FOLDER}/{name}")


def _make(path: Path, keys: bool) -> Made:
    """The order matters. Sessions, which may get new keys, come before the journal with the keys; checkpoints before
    the tree they are of, the journal before the keys that open it and the erasures that close it; objects last."""
    made = Made(str(path))
    _sweep(path.parent)
    with writing(path) as pack, tempfile.TemporaryDirectory(dir=path.parent, prefix=WORKSHOP) as folder:
        made.sessions, made.away = sessions.dump(pack)
        made.objects = _objects(pack, walk(default_storage, CHECKPOINTS), folder)
        for alias in sql.ALIASES:
            sql.dump(pack, alias, Path(folder))
        others = (name for name in walk(default_storage) if not name.startswith((f"{FOLDER}/", f"{CHECKPOINTS}/")))
        made.objects += _objects(pack, others, folder)
        about: dict[str, Any] = pack.manifest.about
        about |= {"sessions": made.sessions, "away": made.away, "objects": made.objects}
        about["master_key"] = fingerprint()
        if keys:
            pack.add("keys/master_key", settings.MASTER_KEY.encode())
            pack.add("keys/signing_key", settings.SIGNING_KEY.encode())
    made.size = path.stat().st_size
    return made


def _sweep(folder: Path) -> None:
    """What backups left there that were killed."""
    for old in (*folder.glob(".clawdbot-*.partial"), *folder.glob(f"{WORKSHOP}*")):
        if time.time() - old.stat().st_mtime > ABANDONED:
            log.warning("%s was left by a backup that was not finished: it goes", old)
            shutil.rmtree(old) if old.is_dir() else old.unlink()


def _objects(pack: Pack, names: Iterable[str], folder: str) -> int:
    """One that went meanwhile is left out."""
    count = 0
    for name in names:
        try:
            with default_storage.open(name) as file, tempfile.TemporaryFile(dir=folder) as whole:
                shutil.copyfileobj(file, whole, CHUNK)  # what it is now, however long that takes to pack
                pack.add_open(f"objects/{name}", whole)
        except FileNotFoundError:
            continue
        count += 1
    return count


def fingerprint() -> str:
    """Tells master keys apart and says nothing about them."""
    return hmac.digest(settings.MASTER_KEY.encode(), b"clawdbot backup", hashlib.sha256).hex()[:16]


def age(to: str) -> float | None:
    """Seconds since the last backup there; None: there is none."""
    if to == STORAGE:
        try:
            names = default_storage.listdir(FOLDER)[1]
        except FileNotFoundError:
            return None
    else:
        names = [path.name for path in Path(to).glob(f"clawdbot-*{ENDING}")]
    stamps = sorted(name[len("clawdbot-") : -len(ENDING)] for name in names if name.endswith(ENDING))
    if not stamps:
        return None
    return time.time() - datetime.strptime(stamps[-1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
