"""Object storage: a folder, or a bucket of any S3. `default_storage` is one of these two; whoever uses it needs to know
only OSError."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage

T = TypeVar("T")

FOLDER: Final = "clawdbot_site.objects.FolderObjects"
SYNCS: Final = 16  # files at a time
S3: Final = "clawdbot_site.s3.S3Objects"


def storage(url: str, folder: Path, *, endpoint: str, region: str, access_key: str, secret_key: str) -> dict[str, Any]:
    """An entry of STORAGES: `url` is `s3://bucket/prefix`, or empty for `folder`. Raises ImproperlyConfigured."""
    if not url:
        # results of searches and exports hold text in the clear: for their owner only
        options = {"location": folder, "file_permissions_mode": 0o600, "directory_permissions_mode": 0o700}
        return {"BACKEND": FOLDER, "OPTIONS": options}
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or parts.query:
        raise ImproperlyConfigured(f"OBJECT_STORE_URL: {url!r} is not s3://bucket or s3://bucket/prefix")
    if endpoint and urlsplit(endpoint).scheme not in ("http", "https"):
        raise ImproperlyConfigured(f"OBJECT_STORE_ENDPOINT: {endpoint!r} is no http or https address")
    if bool(access_key) != bool(secret_key):
        raise ImproperlyConfigured("OBJECT_STORE_ACCESS_KEY and OBJECT_STORE_SECRET_KEY belong together")
    given = {"endpoint_url": endpoint, "region_name": region, "access_key": access_key, "secret_key": secret_key}
    options = {"bucket_name": parts.netloc, "location": parts.path.strip("/")}
    return {"BACKEND": S3, "OPTIONS": {**options, **{name: value for name, value in given.items() if value}}}


class FolderObjects(FileSystemStorage):
    """Files, for their owner only."""

    def settle(self, names: Sequence[str]) -> None:
        """Returns once these are on the disk, whatever happens to the power. Asked for together they cost the disk a
        tenth of what they do one after the other."""
        paths = {self.path(name) for name in names}
        for path in list(paths):  # a folder that is new is an entry of the one above it
            while len(path) > len(str(self.location)):
                path = os.path.dirname(path)
                paths.add(path)
        with ThreadPoolExecutor(min(SYNCS, len(paths) or 1)) as threads:
            list(threads.map(_sync, paths))

    def delete(self, name: str) -> None:
        super().delete(name)
        with contextlib.suppress(OSError):  # a folder that holds nothing any more would stay for ever
            os.rmdir(os.path.dirname(self.path(name)))

    def _save(self, name: str, content: File[Any]) -> str:
        try:
            return str(super()._save(name, content))
        except FileNotFoundError:  # its folder was removed with the last other file of it
            content.seek(0)
            return str(super()._save(name, content))


def _sync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def walk(storage: Any, folder: str = "") -> Iterator[str]:
    """The names of all objects under a folder. Raises OSError."""
    try:
        folders, files = storage.listdir(folder)
    except FileNotFoundError:
        return
    for name in sorted(files):
        if name:
            yield f"{folder}/{name}" if folder else name
    for name in sorted(folders):
        yield from walk(storage, f"{folder}/{name}" if folder else name)


def retold(call: Callable[[], T], errors: tuple[type[Exception], ...]) -> T:
    """What `call()` returns; these errors come as OSError."""
    try:
        return call()
    except errors as error:
        raise OSError(str(error)) from error
