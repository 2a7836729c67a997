"""A real RabbitMQ (Debian's `rabbitmq-server`) for tests, in a folder of its own."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import kombu

from clawdbot_site.selftest.ports import free_port

# not Debian's wrapper, which goes on as another user
RABBITMQ = shutil.which("rabbitmq-server", path="/usr/lib/rabbitmq/bin:/usr/local/sbin:/usr/local/bin")
START_TIME = 180.0


class RabbitServer:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{port}"
        self._environment = {
            "PATH": "/usr/sbin:/usr/bin:/bin", "HOME": str(folder), "RABBITMQ_NODENAME": f"test{port}@localhost",
            "RABBITMQ_NODE_PORT": str(port), "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"), "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"), "RABBITMQ_PID_FILE": str(folder / "pid"),
            "ERL_EPMD_PORT": str(free_port()), "ERL_EPMD_ADDRESS": "127.0.0.1",
        }  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Raises RuntimeError with what it said."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "plugins").write_text("[].\n")
        with (self.folder / "out").open("wb") as out:
            command = [str(RABBITMQ)]
            self._process = subprocess.Popen(command, env=self._environment, cwd=self.folder, stdout=out, stderr=out)
        end = time.monotonic() + START_TIME
        while True:
            try:
                with kombu.Connection(f"{self.url}//", connect_timeout=2) as connection:
                    connection.connect()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > end:
                    self._process.kill()
                    said = (self.folder / "out").read_text()[-500:]
                    raise RuntimeError(f"rabbitmq-server does not start: {said}") from None
                time.sleep(0.5)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            subprocess.run(["epmd", "-kill"], env=self._environment, capture_output=True, check=False)
            self._process = None
