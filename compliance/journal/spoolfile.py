"""A file of batches that a database has not taken yet: frames of length, CRC-32 and MessagePack, on the disk before
`append` returns. What a crash left of the last frame is cut off when the file is taken again."""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Self

import msgspec

from compliance.journal.records import KeyRow, Row

log = logging.getLogger(__name__)

_HEAD: Final = struct.Struct(">II")
LONGEST: Final = 256 << 20  # bytes; a length beyond is none

Batch = tuple[list[Row], list[KeyRow]]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Batch).decode


class SpoolFile:
    """Belongs to one process, by an flock. `size` is the end of what is on the disk for certain."""

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self._file = file
        self.size = 0

    @classmethod
    def take(cls, path: Path, *, create: bool = False) -> Self | None:
        """None: another process has it. Raises OSError, of it FileNotFoundError."""
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not path.exists() or not os.path.samestat(path.stat(), os.fstat(file)):
                raise FileNotFoundError(path)  # removed by whoever had it until now
        except BlockingIOError:
            os.close(file)
            return None
        except BaseException:
            os.close(file)
            raise
        taken = cls(path, file)
        if create:
            _sync_folder(path.parent)
        taken._mend()
        return taken

    def append(self, rows: Sequence[Row], keys: Sequence[KeyRow], *, limit: int) -> None:
        """Raises OSError; then nothing was added."""
        payload = _encode((rows, keys))
        frame = _HEAD.pack(len(payload), zlib.crc32(payload)) + payload
        if self.size + len(frame) > limit:
            raise OSError(f"{self.path} is full ({limit} bytes)")
        try:
            written = 0
            while written < len(frame):
                written += os.pwrite(self._file, frame[written:], self.size + written)
            os.fdatasync(self._file)
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        self.size += len(frame)

    def batches(self, start: int = 0) -> Iterator[tuple[Batch, int]]:
        """Those from this offset to the end there is now, each with the offset behind it."""
        end = self.size
        while start < end:
            batch, start = self._frame(start, end)
            if batch is None:
                return
            yield batch, start

    def clear(self) -> None:
        """Raises OSError."""
        os.ftruncate(self._file, 0)
        os.fdatasync(self._file)
        self.size = 0

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        os.close(self._file)

    def _frame(self, start: int, end: int) -> tuple[Batch | None, int]:
        head = os.pread(self._file, _HEAD.size, start)
        if len(head) < _HEAD.size:
            return None, start
        length, checksum = _HEAD.unpack(head)
        after = start + _HEAD.size + length
        if length > LONGEST or after > end:
            return None, start
        payload = os.pread(self._file, length, start + _HEAD.size)
        if zlib.crc32(payload) != checksum:
            return None, start
        try:
            return _decode(payload), after
        except msgspec.MsgspecError:
            return None, start

    def _mend(self) -> None:
        end = os.fstat(self._file).st_size
        self.size = end
        good = 0
        for _, after in self.batches():
            good = after
        if good < end:
            log.warning("%s: %d bytes of an unfinished write were cut off", self.path, end - good)
            os.ftruncate(self._file, good)
        self.size = good


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
