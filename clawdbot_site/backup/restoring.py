"""Brings a backup back, into an installation that does not run."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import msgspec
from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connections

from access import erasing
from clawdbot_site import env
from clawdbot_site.backup import emptying, sessions, sql, superseding
from clawdbot_site.backup.making import STORAGE, fingerprint
from clawdbot_site.backup.packing import CHUNK, MANIFEST, Broken, Manifest, checked, members
from clawdbot_site.objects import walk
from clawdbot_site.serving import lock
from compliance.database import ALIAS
from tenants import stored_keys
from tenants.models import Tenant

log = logging.getLogger(__name__)

KEYS: Final = "keys/"
OBJECTS: Final = "objects/"
Say = Callable[[str], None]


class Restored(msgspec.Struct):
    """`away`: tenants whose own servers did not answer, and keep what they hold."""

    made_at: float = 0.0
    sessions: int = 0
    objects: int = 0
    erased_again: dict[str, int] = {}
    away: list[str] = []


def restore(file: str, *, force: bool = False, say: Say = log.info) -> Restored:
    """`file` is a path, or `storage:` and a name there. With `force` what is here goes. Nothing is touched before the
    whole file was found sound. Blocking. Raises Broken (its text says why not), lock.FolderInUse, and what databases
    and object storage raise: then it is to be done again."""
    with lock.hold(settings.VAR_DIR), _local(file) as path:
        manifest = checked(path)
        sql.check(manifest.about)
        _check_keys(manifest)
        stores_hold = emptying.holds_any()  # first: without the stores nothing is begun
        if not force and (stores_hold or not _empty()):
            raise Broken("there are data here already; --force puts the backup in their place")
        say(f"restoring the state of {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(manifest.made_at))} UTC")
        told = _restore(path, manifest, say)
        gone = emptying.empty_all()
        say(f"{gone.keys} keys of another time were taken out of the stores")
        told.erased_again = erasing.erase_again(stores=False)
        told.away = gone.away
        return told


@contextmanager
def _local(file: str) -> Iterator[Path]:
    if not file.startswith(f"{STORAGE}:"):
        yield Path(file)
        return
    with tempfile.TemporaryDirectory(prefix="clawdbot-restore-") as folder:
        path = Path(folder) / "backup"
        with default_storage.open(file.removeprefix(f"{STORAGE}:")) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, CHUNK)
        yield path


def _check_keys(manifest: Manifest) -> None:
    inside = f"{KEYS}master_key" in manifest.members
    if manifest.about["master_key"] != fingerprint() and not inside:
        raise Broken(
            "MASTER_KEY is not the one this backup was made with: nothing in it could be read. "
            "Put that key into its place (var/master_key or the setting) first"
        )


def _empty() -> bool:
    nobody = sql.empty("default", lambda: Tenant.objects.exists()) and sql.empty(ALIAS, sql.journal_holds)
    return nobody and not any(not name.startswith("backups/") for name in walk(default_storage))


def _restore(path: Path, manifest: Manifest, say: Say) -> Restored:
    told, parts = Restored(manifest.made_at), Parts(manifest)
    parts.begin()
    for name, file in members(path):
        told.objects += parts.take(name, file)
    parts.finish()
    _check_opens()
    known = {name.removeprefix(OBJECTS) for name in manifest.members if name.startswith(OBJECTS)}
    superseding.set_aside(known, say)
    for name, file in members(path):
        if name.startswith(sessions.FOLDER):  # their rows go into the databases, which are there now
            told.sessions += sessions.load(name, file.read())
        elif name == MANIFEST:
            break
    return told


class Parts:
    """Puts the parts of a backup into their places, as they come."""

    def __init__(self, manifest: Manifest) -> None:
        self._about = manifest.about
        self._on_server = [alias for alias in sql.ALIASES if connections[alias].vendor != "sqlite"]
        self._files, self._tables = sql.Files(), sql.Tables(manifest.about)

    def begin(self) -> None:
        for alias in self._on_server:
            sql.prepare(self._about, alias)

    def take(self, name: str, file: IO[bytes]) -> int:
        """How many objects this is."""
        kind, _, rest = name.partition("/")
        if kind == "sql":
            alias, _, part = rest.partition("/")
            if alias in self._on_server:
                self._tables.take(alias, name, file)
            else:
                self._files.take(alias, part, file)
        elif kind == "keys":
            _put_key(rest, file.read())
        elif kind == "objects":
            _put(rest, file)
            return 1
        return 0

    def finish(self) -> None:
        self._tables.finish()
        self._files.swap()
        for alias in sql.ALIASES:
            call_command("migrate", database=alias, verbosity=0, interactive=False, skip_checks=True)
            if alias in self._on_server:
                sql.renumber(alias)


def _put(name: str, file: IO[bytes]) -> None:
    """In the place of what has this name. Written whole: a name that is not as it was would not be found again."""
    default_storage.delete(name)
    with tempfile.TemporaryFile() as local:
        shutil.copyfileobj(file, local, CHUNK)
        local.seek(0)
        stored = default_storage.save(name, File(local))
    if stored != name:
        raise OSError(f"object storage took {name} under another name")


def _put_key(name: str, content: bytes) -> None:
    """Only where the key is a file of this installation."""
    path = env.secret_file(name.upper(), settings.VAR_DIR / name)
    if path is None:
        log.warning("%s comes from the environment here; the one in the backup is not used", name.upper())
        return
    beside = path.with_name(f".{path.name}.restored")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as target:
        target.write(content)
    beside.rename(path)


def _check_opens() -> None:
    for tenant_id in [0, *Tenant.objects.values_list("pk", flat=True)]:
        if stored_keys.stored(tenant_id) is None:
            raise Broken(f"everything is here, but the key of tenant {tenant_id} cannot be opened with this MASTER_KEY")
