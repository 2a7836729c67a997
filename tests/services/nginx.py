"""A real nginx (Debian's) with the configuration of deploy/nginx, only its addresses and folders changed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from clawdbot_site.selftest.ports import free_port
from tests.services.certificates import certificate

SOURCE = Path(__file__).parents[2] / "deploy" / "nginx"
START_TIMEOUT = 20.0
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
HTTP, TLS, GRPC = "listen 80 ", "listen 443 ", "listen 8001 "


class Nginx:
    """Listens on free ports of 127.0.0.1 for HTTP, HTTPS and gRPC, in front of `web` and `grpc` (ports)."""

    def __init__(self, folder: Path, *, web: int, grpc: int) -> None:
        self.folder = folder
        self.http, self.https, self.grpc = (free_port() for _ in range(3))
        self._write({"web:8000": f"127.0.0.1:{web}", "grpc:8001": f"127.0.0.1:{grpc}"})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http}"

    @property
    def certificate(self) -> Path:
        return self.folder / "tls" / "fullchain.pem"

    def _write(self, servers: Mapping[str, str]) -> None:
        shutil.copytree(SOURCE, self.folder)
        (self.folder / "tls" / "tls.conf.example").rename(self.folder / "tls" / "tls.conf")
        for name, part in zip(("fullchain.pem", "privkey.pem"), certificate("localhost"), strict=True):
            (self.folder / "tls" / name).write_bytes(part)
        replaced = {
            **{f"server {name} ": f"server {address} " for name, address in servers.items()},
            "/etc/nginx/clawdbot": f"{self.folder}/clawdbot",
            "/etc/nginx/tls": f"{self.folder}/tls",
            "/run/nginx.pid": f"{self.folder}/nginx.pid",
            "/dev/stdout": f"{self.folder}/access.log",
            HTTP: f"listen 127.0.0.1:{self.http} ",
            TLS: f"listen 127.0.0.1:{self.https} ",
            GRPC: f"listen 127.0.0.1:{self.grpc} ",
            "worker_processes auto": "worker_processes 1",
        }
        for path in self.folder.rglob("*.conf"):
            text = path.read_text()
            for old, new in replaced.items():
                text = text.replace(old, new)
            path.write_text(text)
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
            self._set("http {", f"http {{\n    {kind}_temp_path {self.folder}/{kind};")
        if os.getuid() == 0:
            self._set("events {", "user root;\nevents {")  # the folder is nobody else's

    def _set(self, old: str, new: str) -> None:
        main = self.folder / "nginx.conf"
        text = main.read_text()
        assert old in text
        main.write_text(text.replace(old, new, 1))

    def check(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self._command(), "-t"], capture_output=True, text=True, timeout=20)

    def _command(self) -> list[str]:
        return [str(NGINX), "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", "stderr"]

    def start(self) -> None:
        with (self.folder / "stderr.log").open("ab") as log:
            self._process = subprocess.Popen([*self._command(), "-g", "daemon off;"], stderr=log)
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.http), timeout=1).close()
                return
            except OSError:
                assert self._process.poll() is None and time.monotonic() < deadline, self.said()
                time.sleep(0.02)

    def said(self) -> str:
        return (self.folder / "stderr.log").read_text()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(20)
        self._process = None
