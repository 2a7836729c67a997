"""An upgrade under load, with two revisions from git: `python -m benchmarks.upgrade [--from REVISION] [--seconds 10]`.

Both databases are on PostgreSQL. The older revision answers; this code migrates; both answer; this one answers alone;
then the older one is back beside it, and answers alone, on the newer databases. All the while clients ask through a
balancer and keep a ledger. Exit 0: no request failed and the journal has every answer, 1: not so, 2: there is no older
revision to be had. Of the older one `requirements.txt` is not installed: it runs with what this one needs."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.balancer import Balancer
from benchmarks.fleet import until
from benchmarks.rolling import checks
from clawdbot_site.selftest import ledger
from clawdbot_site.selftest.instance import ROOT, Instance, children, name
from clawdbot_site.selftest.model import Model
from clawdbot_site.selftest.ports import free_port
from clawdbot_site.selftest.postgres import PostgresServer

BACK = 20  # commits, where there is no tag
GRACE = 120.0


def git(*arguments: str) -> str:
    """Raises CalledProcessError, FileNotFoundError."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def older(asked: str) -> str:
    """The commit to begin with. Raises CalledProcessError, FileNotFoundError."""
    if not asked:
        with contextlib.suppress(subprocess.CalledProcessError):
            asked = git("describe", "--tags", "--abbrev=0", "HEAD~1")
    return git("rev-parse", "--verify", f"{asked or f'HEAD~{BACK}'}^{{commit}}")


@contextlib.contextmanager
def checked_out(commit: str, folder: Path) -> Iterator[Path]:
    git("worktree", "add", "--detach", str(folder), commit)
    try:
        yield folder
    finally:
        git("worktree", "remove", "--force", str(folder))


class Upgrade:
    def __init__(self, folder: Path, old: Instance, seconds: float) -> None:
        self._folder = folder
        self._old = old
        self._seconds = seconds
        self._port = free_port()
        self._new: subprocess.Popen[bytes] | None = None
        self._answers = ledger.Ledger()

    async def run(self) -> bool:
        async with checks() as (ready, _), Balancer([self._old.port, self._port], ready) as self._balancer:
            stop = asyncio.Event()
            url = f"http://127.0.0.1:{self._balancer.port}"
            playing = asyncio.create_task(ledger.play(self._answers, url, self._old.key, clients=8, stop=stop))
            try:
                await self._go_there_and_back()
            except TimeoutError as missed:
                print(missed, self._old.log.read_text(errors="replace")[-1_000:], sep="\n")
                return False
            finally:
                stop.set()
                await playing
                self._end_new()
        return await self._verdict()

    async def _go_there_and_back(self) -> None:
        await self._phase("the older one answers", old=True, new=False)
        for alias in ("default", "journal"):
            migrated = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "manage.py", "migrate", "--database", alias, "--verbosity", "1"],
                cwd=ROOT,
                env=self._old.environment,
            )
            assert migrated.returncode == 0, alias
        await self._phase("it answers on the newer databases", old=True, new=False)
        self._start_new()
        await self._phase("both answer", old=True, new=True)
        os.kill(self._old.pid, signal.SIGSTOP)  # the launcher would start its web server again
        (web,) = [child for child in children(self._old.pid) if name(child) == "web server"]
        os.kill(web, signal.SIGTERM)
        await self._phase("the newer one answers alone", old=False, new=True)
        os.kill(self._old.pid, signal.SIGCONT)
        await self._phase("the older one is back", old=True, new=True)
        self._new.terminate()  # type: ignore[union-attr]
        await self._phase("the older one answers alone on the newer databases", old=True, new=False)

    async def _phase(self, what: str, *, old: bool, new: bool) -> None:
        ready = self._balancer.ready
        await until(lambda: (ready[self._old.port], ready[self._port]) == (old, new), what, GRACE)
        ended, began = self._answers.ended, time.monotonic()
        await asyncio.sleep(self._seconds)
        await until(lambda: self._answers.ended > ended, f"{what}: nothing is answered", GRACE)
        print(
            f"{what}: {self._answers.ended - ended} answers in {time.monotonic() - began:.0f} s,"
            f" so far refused {self._answers.refused}, cut {self._answers.cut}",
            flush=True,
        )

    def _start_new(self) -> None:
        environment = {**self._old.environment, "PORT": str(self._port), "WORKERS": "1"}
        with (self._folder / "new.log").open("wb") as log:
            self._new = subprocess.Popen(
                [sys.executable, "manage.py", "webserver"], cwd=ROOT, env=environment, stdout=log, stderr=log
            )

    def _end_new(self) -> None:
        if self._new is not None and self._new.poll() is None:
            self._new.terminate()
            self._new.wait(GRACE)

    async def _verdict(self) -> bool:
        for command in (["audit", "balance"], ["selftest", "recorded"]):
            done = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "manage.py", *command],
                cwd=ROOT,
                env=self._old.environment,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        verdict = ledger.compare(self._answers, found(done.stdout), 0)
        print(verdict, f"refused {self._answers.refused}, cut {self._answers.cut}", sep="\n")
        return verdict.kept and bool(verdict.answered) and not self._answers.refused and not self._answers.cut


def found(said: str) -> dict[str, ledger.Found]:
    """What `selftest recorded` said, by mark."""
    turns = [json.loads(line) for line in said.splitlines() if line.strip()]
    return {one["mark"]: ledger.Found(one["turn_id"], one["state"], one["text"]) for one in turns}


async def measure(folder: Path, root: Path, seconds: float) -> bool:
    server = PostgresServer(folder / "postgres", options=["-c", "fsync=off"])
    server.start()
    model = Model()
    await model.start()
    settings = {"MODEL_ENDPOINT": model.url, "MODEL_NAME": "m", "API_KEY": "k", "LOCAL_MODEL": "off", "GRPC_PORT": "0"}
    databases = {"DATABASE_URL": server.database("main"), "JOURNAL_URL": server.database("record")}
    old = Instance(folder / "var", **settings, **databases)
    old.root = root
    old.environment["DRAIN_DELAY"] = "2"
    try:
        await asyncio.to_thread(old.start)
        return await Upgrade(folder, old, seconds).run()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(old.pid, signal.SIGCONT)
        await asyncio.to_thread(old.stop)
        await model.stop()
        server.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="revision", default=os.environ.get("UPGRADE_FROM", ""))
    parser.add_argument("--seconds", type=float, default=10.0, help="of each phase")
    arguments = parser.parse_args()
    try:
        commit = older(arguments.revision)
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        print(f"There is no older revision to be had: {error}")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="clawdbot-upgrade-"))
    try:
        with checked_out(commit, folder / "old") as root:
            print(f"from {commit[:10]} to what is here", flush=True)
            return 0 if asyncio.run(measure(folder, root, arguments.seconds)) else 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
