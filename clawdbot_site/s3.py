"""Object storage in a bucket. Imported only where one is configured: boto3 is large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import File
from storages.backends.s3 import S3Storage

from clawdbot_site.objects import retold

ERRORS: Final = (BotoCoreError, ClientError, Boto3Error)
PATIENCE: Final = {"connect_timeout": 2, "read_timeout": 10, "retries": {"mode": "standard", "max_attempts": 3}}


class S3Objects(S3Storage):
    """Like files in a folder: a name that is taken is not written over, what fails is an OSError, and an object that is
    not there a FileNotFoundError."""

    def get_default_settings(self) -> dict[str, Any]:
        # many services besides Amazon's know neither virtual hosts nor the newer checksums
        options = {"request_checksum_calculation": "when_required", "response_checksum_validation": "when_required"}
        config = Config(signature_version="s3v4", s3={"addressing_style": "path"}, **PATIENCE, **options)
        return {**super().get_default_settings(), "client_config": config, "file_overwrite": False}

    @property
    def connection(self) -> Any:
        """This thread's. Only Amazon's own service may name another of its regions."""
        new = getattr(self._connections, "connection", None) is None
        found = super().connection
        if new and self.endpoint_url:
            found.meta.client.meta.events.register("before-call.s3", _stay)
        return found

    def warm(self) -> None:
        """Makes this thread's client, which takes a moment; nothing is sent."""
        _ = self.bucket.name, self.connection.meta.client

    def add(self, name: str, content: bytes) -> str:
        """`save` for a name that nobody has: one request. Any thread, many at a time."""
        key = self._normalize_name(name)
        client = self.connection.meta.client
        retold(lambda: client.put_object(Bucket=self.bucket_name, Key=key, Body=content), ERRORS)
        return name

    def settle(self, names: Sequence[str]) -> None:
        """What a bucket took, it has."""

    def delete(self, name: str) -> None:
        retold(lambda: super(S3Objects, self).delete(name), ERRORS)

    def exists(self, name: str) -> bool:
        return bool(retold(lambda: super(S3Objects, self).exists(name), ERRORS))

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        folders, files = retold(lambda: super(S3Objects, self).listdir(path), ERRORS)
        return list(folders), list(files)

    def size(self, name: str) -> int:
        return int(retold(lambda: super(S3Objects, self).size(name), ERRORS))

    def get_modified_time(self, name: str) -> Any:
        return retold(lambda: super(S3Objects, self).get_modified_time(name), ERRORS)

    def _open(self, name: str, mode: str = "rb") -> File[Any]:
        """With its content already here: who reads on needs no more of the network."""
        file = retold(lambda: super(S3Objects, self)._open(name, mode), ERRORS)
        if "r" in mode:
            retold(lambda: file.file, ERRORS)
        return file  # type: ignore[no-any-return]

    def _save(self, name: str, content: File[Any]) -> str:
        return str(retold(lambda: super(S3Objects, self)._save(name, content), ERRORS))


def _stay(params: dict[str, Any], **_: Any) -> None:
    """The request counts as one that was sent on already. Else botocore asks a service that redirects where its bucket
    is, is redirected, and asks again, without an end."""
    params["context"].setdefault("s3_redirect", {})["redirected"] = True
