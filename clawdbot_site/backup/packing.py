"""The file of a backup: a gzipped tar whose last member, `manifest.json`, has the SHA-256 of all others.

It is written under another name and renamed once it is complete; nothing is unpacked before all of it was read and
found whole."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import msgspec

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
CHUNK: Final = 1 << 20
LEVEL: Final = 1  # of gzip: what is sealed does not get smaller, and the rest does at once


class Broken(ValueError):
    """Its text is one clear line: what is wrong with the file."""


class Member(msgspec.Struct, frozen=True):
    sha256: str
    size: int


class Manifest(msgspec.Struct, kw_only=True):
    """`about` has what the parts want to know of themselves when they are read again."""

    format: int = FORMAT
    made_at: float = 0.0
    about: dict[str, Any] = {}
    members: dict[str, Member] = {}


class Pack:
    """A backup that is being written."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.manifest = Manifest(made_at=time.time())

    def add(self, name: str, content: bytes) -> None:
        self._add(name, len(content), io.BytesIO(content))

    def add_file(self, name: str, path: Path) -> None:
        with path.open("rb") as file:
            self.add_open(name, file)

    def add_open(self, name: str, file: IO[bytes]) -> None:
        """All of a file that can be sought."""
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        self._add(name, size, file)

    def _add(self, name: str, size: int, file: IO[bytes]) -> None:
        if name in self.manifest.members:
            raise ValueError(f"{name} is in the backup already")
        reader = _Hashing(file)
        self._tar.addfile(_info(name, size), reader)
        self.manifest.members[name] = Member(reader.sha256.hexdigest(), size)

    def finish(self) -> None:
        content = msgspec.json.encode(self.manifest)
        self._tar.addfile(_info(MANIFEST, len(content)), io.BytesIO(content))


class _Hashing:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self.sha256.update(content)
        return content


@contextmanager
def writing(path: Path) -> Iterator[Pack]:
    """The file is there when this ends well, and durable; otherwise nothing is. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=LEVEL) as tar:
                pack = Pack(tar)
                yield pack
                pack.finish()
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
    finally:
        partial.unlink(missing_ok=True)


def checked(path: Path) -> Manifest:
    """Reads all of the file. Raises Broken, OSError."""
    found: dict[str, Member] = {}
    manifest: Manifest | None = None
    try:
        for name, file in members(path):
            if manifest is not None:
                raise Broken(f"{path}: something comes after its manifest")
            if name == MANIFEST:
                manifest = msgspec.json.decode(file.read(), type=Manifest)
                continue
            digest, size = hashlib.sha256(), 0
            while content := file.read(CHUNK):
                digest.update(content)
                size += len(content)
            found[name] = Member(digest.hexdigest(), size)
    except (tarfile.TarError, EOFError, UnicodeDecodeError, msgspec.MsgspecError) as error:
        raise Broken(f"{path} is no whole backup: {error}") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise Broken(f"{path} is no whole backup: {error}") from None
    if manifest is None:
        raise Broken(f"{path} is no whole backup: it has no manifest")
    if manifest.format != FORMAT:
        raise Broken(f"{path} has format {manifest.format}; this program reads {FORMAT}")
    wrong = sorted(name for name in found.keys() | manifest.members if found.get(name) != manifest.members.get(name))
    if wrong:
        raise Broken(f"{path}: {len(wrong)} of its parts are not what its manifest says, {wrong[0]} among them")
    return manifest


def members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """All of them in their order; each is read before the next."""
    with tarfile.open(path, mode="r|gz") as tar:
        for info in tar:
            file = tar.extractfile(info)
            if file is None:
                raise Broken(f"{path}: {info.name} is no file")
            yield info.name, file


def _info(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(time.time())
    return info
