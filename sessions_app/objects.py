"""The objects of archived sessions in object storage, whichever it is. All of it blocks."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

log = logging.getLogger(__name__)

REQUESTS: Final = 8
LARGEST: Final = 256 << 20  # bytes a session may have when it is inflated

# Threads of the process, for as long as it lives: each has a client of its own, which takes a moment to make.
_requests: Final = ThreadPoolExecutor(REQUESTS, thread_name_prefix="objects")


def add_objects(objects: Sequence[tuple[str, bytes]]) -> list[str]:
    """The names they have then; many at a time where each is a request over the network. Raises OSError."""
    add: Callable[[str, bytes], str] | None = getattr(default_storage, "add", None)
    if add is None:
        return [default_storage.save(name, ContentFile(content)) for name, content in objects]
    return list(_requests.map(add, *zip(*objects, strict=True))) if objects else []


def settle(names: Sequence[str]) -> None:
    """A storage that does not say how is one that has what it took."""
    how: Callable[[Sequence[str]], None] | None = getattr(default_storage, "settle", None)
    if how is not None:
        how(names)


def discard(names: Iterable[str]) -> None:
    """Objects that no row names. What cannot be deleted now is found by `tidy`."""
    for name in names:
        try:
            if name:
                default_storage.delete(name)
        except OSError as error:
            log.warning("the object %s stays for now: %s", name, error)


def listed(folder: str, what: int) -> list[str]:
    """What lies there: 0 folders, 1 objects."""
    try:
        return [name for name in default_storage.listdir(folder)[what] if name]
    except FileNotFoundError:
        return []


def inflated(content: bytes) -> bytes:
    """Raises ValueError, zlib.error."""
    machine = zlib.decompressobj()
    whole = machine.decompress(content, LARGEST)
    if machine.unconsumed_tail or not machine.eof:
        raise ValueError("it was cut off, or is too large")
    return whole
