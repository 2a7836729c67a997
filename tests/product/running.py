"""The whole product in a folder of its own, started as a user starts it and stopped by its process id.

with Product(folder, LOCAL_MODEL="off").up() as product:
    product.access["api_key"]; product.http().post("/api/chat", json={"message": "Hello"})
    product.operate("value = Tenant.objects.count()")       # an operator's hands: the ORM, in another process
assert product.processes() == []
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import httpx2

from clawdbot_site.selftest.ports import free_port
from clawdbot_site.serving.orphans import die_with_parent

ROOT = Path(__file__).parents[2]
# Seconds after which something is taken for hanging. None is a promise: what is waited for comes at once where the
# machine has nothing else to do, and here other suites, and other work, may have most of it.
START_TIME = 300.0
STOP_TIME = 120.0
PATIENCE = 60.0
COMMAND_TIME = 300.0
SELFTEST_TIME = 900.0  # of whole instances, one after the other
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # a client of its own reads all authorities: 46 ms of CPU each
UP = "Ctrl-C stops everything."

# Runs Python text line by line and answers with what it left in `value`.
OPERATOR = """
import json, sys, traceback
import django
django.setup()
from django.utils import timezone
from adapters import registry
from compliance.models import *
from compliance.wordlists import replace_words
from routing.models import ModelInstance, RoutingRule
from routing.services import save_instance
from tenants import services
from tenants.models import ApiKey, ChatSite, Member, Tenant, TenantKey, User
names = dict(globals())
for line in sys.stdin:
    try:
        exec(json.loads(line), names)
        answer = {"value": names.pop("value", None)}
    except Exception:
        answer = {"error": traceback.format_exc()}
    print(json.dumps(answer), flush=True)
"""


def until(true: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """What `true` gives as soon as it is true; a failure that names `what` otherwise."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.02)
    return found


@functools.cache
def migrated() -> Path:
    """A folder with the databases as a first start leaves them before anything is in them: made once, since making
    them costs as much CPU as all the rest of a start."""
    folder = Path(tempfile.mkdtemp(prefix="migrated-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "journal").mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    program = "import django; django.setup()\nfrom django.core.management import call_command as call\n"
    program += "[call('migrate', database=alias, verbosity=0) for alias in ('default', 'journal')]"
    environment = {**kept, "DJANGO_SETTINGS_MODULE": "clawdbot_site.settings", "VAR_DIR": str(folder)}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True, timeout=START_TIME)
    return folder


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


class Product:
    """`environment` are settings; everything else that could be one is kept out. `fresh`: it makes its databases
    itself, as on a new machine."""

    def __init__(self, folder: Path, *, fresh: bool = False, **environment: str) -> None:
        self.folder = folder
        self.fresh = fresh
        self.port = int(environment.get("PORT") or free_port())
        self.log = folder.parent / f"{folder.name}.log"
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        self.environment = {
            **kept,
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "clawdbot_site.settings",
            "ENV_FILE": "",
            "VAR_DIR": str(folder),
            "PORT": str(self.port),
            "GRPC_PORT": str(free_port()),
            "DRAIN_DELAY": "0",
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._operator: subprocess.Popen[str] | None = None

    # Life ------------------------------------------------------------------------------------------------------------

    def launch(self, *command: str) -> None:
        """Starts without waiting, in a session of its own, like a terminal's foreground job."""
        if not self.fresh:
            self._take_databases()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command or [sys.executable, "manage.py", "up"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=functools.partial(die_with_parent, os.getpid()),  # also when the tests are killed
            )

    def _take_databases(self) -> None:
        """Files that would be made anyway, unless they are there or the database is a server."""
        for name, setting in (("db.sqlite3", "DATABASE_URL"), ("journal/journal.sqlite3", "JOURNAL_URL")):
            file = self.folder / name
            if not file.exists() and setting not in self.environment:
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(migrated() / name, file)
                file.chmod(0o600)

    def up(self, *command: str) -> Self:
        self.launch(*command)
        try:
            until(lambda: UP in self.said() or self.process.poll() is not None, "the product is up", START_TIME)
            assert self.process.poll() is None, self.said()
        except BaseException:
            self.end()
            raise
        return self

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def send(self, number: int) -> None:
        """To the launcher's process group, as a terminal sends Ctrl-C."""
        os.killpg(self.process.pid, number)

    def wait(self, seconds: float = STOP_TIME) -> int:
        return self.process.wait(seconds)

    def end(self) -> None:
        """However it is: no process of it is left."""
        if self._operator is not None:
            self._operator.stdin.close()
            self._operator.wait(20)
            self._operator.stdout.close()
            self._operator = None
        if self.process is not None and self.process.poll() is None:
            self.send(signal.SIGTERM)
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self.send(signal.SIGKILL)
                self.process.wait(10)
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    # Processes -------------------------------------------------------------------------------------------------------

    def processes(self) -> list[int]:
        """Everything that runs with this folder as its VAR_DIR, whoever its parent is by now."""
        mark, found = str(self.folder).encode(), []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != (self._operator.pid if self._operator else 0):
                with contextlib.suppress(OSError):
                    if mark in (entry / "environ").read_bytes() or mark in (entry / "cmdline").read_bytes():
                        found.append(int(entry.name))
        return sorted(found)

    def child(self, name: str) -> int:
        """The child of the launcher that is called `name` (its forks are, too); 0: none right now."""
        for pid in children(self.process.pid):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == name[:15]:
                    return pid
        return 0

    def workers(self) -> list[int]:
        return children(self.child("web server"))

    # Talking to it ---------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def access(self) -> dict[str, str]:
        return json.loads((self.folder / "bootstrap.json").read_text())

    @property
    def key(self) -> str:
        return self.access["api_key"]

    def http(self, key: str | None = None, **options: Any) -> httpx2.Client:
        """A client with the given key, the first start's or (key="") none."""
        secret = self.key if key is None else key
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False, verify=NO_TLS, **options)

    def ask(self, text: str = "Hello", key: str | None = None, **fields: Any) -> httpx2.Response:
        """One `POST /api/chat` on a connection of its own."""
        with self.http(key) as client:
            return client.post("/api/chat", json={"message": text, **fields})

    @contextlib.contextmanager
    def at_worker(self, pid: int) -> Iterator[http.client.HTTPConnection]:
        """A connection that this worker serves: the others are stopped while it is accepted."""
        others = [other for other in self.workers() if other != pid]
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            for other in others:
                os.kill(other, signal.SIGSTOP)
            connection.connect()
            connection.sock.settimeout(10)
            connection.request("GET", "/livez")
            connection.getresponse().read()
            connection.sock.settimeout(30)
        finally:
            for other in others:
                with contextlib.suppress(ProcessLookupError):  # the next ones must not stay stopped
                    os.kill(other, signal.SIGCONT)
        try:
            yield connection
        finally:
            connection.close()

    @contextlib.contextmanager
    def at_every_worker(self) -> Iterator[list[http.client.HTTPConnection]]:
        with contextlib.ExitStack() as stack:
            yield until(lambda: self._reached(stack), "every worker takes connections")

    def _reached(self, stack: contextlib.ExitStack) -> list[http.client.HTTPConnection] | None:
        """None while one of them is on its way out, as after a test that replaced it: it may still answer."""
        workers = self.workers()
        if len(workers) != int(self.environment.get("WORKERS", len(workers))):
            return None
        with contextlib.ExitStack() as opened:
            try:
                connections = [opened.enter_context(self.at_worker(pid)) for pid in workers]
            except (TimeoutError, ProcessLookupError):
                return None
            if self.workers() != workers:
                return None
            stack.push(opened.pop_all())
        return connections

    # An operator's hands ---------------------------------------------------------------------------------------------

    def operate(self, code: str) -> Any:
        """Runs Python with the product's models at hand in another process; what it leaves in `value` comes back."""
        if self._operator is None:
            self._operator = subprocess.Popen(
                [sys.executable, "-c", OPERATOR],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        self._operator.stdin.write(json.dumps(code) + "\n")
        self._operator.stdin.flush()
        answer = json.loads(self._operator.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def manage(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            input=given,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIME,
        )


def chat_on(connection: http.client.HTTPConnection, key: str, **body: Any) -> tuple[int, dict[str, Any]]:
    """One `/api/chat` on a connection that is open already: status and answer."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request("POST", "/api/chat", json.dumps({"message": "Hello", **body}), headers)
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def events_of(text: str) -> list[tuple[str, str, Any]]:
    """(id, event, data) of server-sent events."""
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        found.append((fields["id"], fields["event"], json.loads(fields["data"])))
    return found


def one_line(text: str) -> str:
    """The only line of a complaint."""
    lines: Sequence[str] = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1, text
    return lines[0]
