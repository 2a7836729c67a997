"""A store that loses all it has, or what it wrote last, under turns: `python -m benchmarks.session_loss [--rounds N]`.

Each round the store is emptied (FLUSHALL), killed (kill -9), or killed and started with files of an earlier round. Then
each session must hold every turn that was answered, in the order of the answers and none twice, and the last name
it was given; what was deleted must be gone. Exit 1: not so."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import redis

from clawdbot_site.databases import socket_path
from clawdbot_site.selftest.instance import Instance, children, name
from clawdbot_site.selftest.model import Model

TIMEOUT: Final = 60.0  # seconds a call may take: the store may have to be started again meanwhile
BACK: Final = 60.0
FAULTS: Final = ("flush", "kill", "flush", "older")


@dataclass
class Talk:
    """One session as its client knows it. `asked` are the texts that were sent, `answered` those with an answer."""

    id: str = ""
    asked: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # from the last one that was surely given on
    ended: bool = False
    deleted: bool = False

    def faults(self, status: int, held: dict[str, Any]) -> list[str]:
        if self.ended:
            return [f"{self.id} was deleted and is there: {status}"] if self.deleted and status != 404 else []
        if status != 200:
            return [f"{self.id} cannot be read: {status} {held}"]
        texts = [each["content"] for each in held["context_stack"] if each["role"] == "user"]
        known = set(texts)
        found = []
        if lost := [text for text in self.answered if text not in known]:
            found.append(f"{self.id} lost {lost}")
        if len(known) != len(texts):
            found.append(f"{self.id} holds turns twice: {texts}")
        if [text for text in texts if text in set(self.answered)] != self.answered and not lost:
            found.append(f"{self.id} holds {texts}, answered were {self.answered}")
        if strangers := known - set(self.asked):
            found.append(f"{self.id} holds {sorted(strangers)} that nobody asked")
        if self.names and held.get("name") not in self.names:
            found.append(f"{self.id} is called {held.get('name')}, not {self.names}")
        return found


class Loss:
    """One run against an instance with its embedded store."""

    def __init__(self, instance: Instance, *, sessions: int, model: str) -> None:
        self._instance = instance
        self._model = model
        self._kept = instance.folder.parent / "older"
        self._chance = random.Random(1)
        self.talks = [Talk() for _ in range(sessions)]
        self.failed = 0
        self.faults: list[str] = []

    async def run(self, rounds: int, seconds: float) -> None:
        headers = {"Authorization": f"Bearer {self._instance.key}"}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        async with aiohttp.ClientSession(self._instance.url, headers=headers, timeout=timeout) as self._client:
            over = asyncio.Event()
            talking = [asyncio.create_task(self._talk(number, talk, over)) for number, talk in enumerate(self.talks)]
            for number in range(rounds):
                await asyncio.sleep(seconds)
                await asyncio.to_thread(self._strike, FAULTS[number % len(FAULTS)])
                await self._back()
            over.set()
            await asyncio.gather(*talking)
            await self._back()
            for talk in self.talks:
                if talk.id:
                    self.faults += talk.faults(*await self._read(talk.id))

    async def _talk(self, number: int, talk: Talk, over: asyncio.Event) -> None:
        for step in itertools.count():
            if over.is_set() or talk.ended:
                return
            if talk.id and step % 10 == 9:
                await self._name(talk, f"{number}/{step}")
            elif talk.id and step > 20 and self._chance.random() < 0.003:
                talk.ended = True
                status, _ = await self._call("DELETE", f"/api/sessions/{talk.id}")
                talk.deleted = status == 204
            else:
                await self._turn(talk, f"{number}: {step}")

    async def _turn(self, talk: Talk, text: str) -> None:
        talk.asked.append(text)
        body = {"message": text, "model": self._model, **({"session_id": talk.id} if talk.id else {})}
        status, answer = await self._call("POST", "/api/chat", body)
        if status == 200:
            talk.id = answer["session_id"]
            talk.answered.append(text)
        else:
            self._count(status, answer, text)

    async def _name(self, talk: Talk, name: str) -> None:
        talk.names.append(name)
        status, answer = await self._call("PATCH", f"/api/sessions/{talk.id}", {"name": name})
        if status == 200:
            talk.names[:] = [name]
        else:
            self._count(status, answer, name)

    def _count(self, status: int, answer: dict[str, Any], what: str) -> None:
        self.failed += 1
        if status not in (0, 409, 503):
            self.faults.append(f"{what}: {status} {answer}")

    async def _call(self, method: str, path: str, body: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and answer; 0: it was cut off."""
        try:
            async with self._client.request(method, path, json=body) as response:
                return response.status, await response.json() if response.status != 204 else {}
        except (aiohttp.ClientError, OSError, TimeoutError):
            await asyncio.sleep(0.05)
            return 0, {}

    async def _read(self, session_id: str) -> tuple[int, dict[str, Any]]:
        """A worker that has not found the store again yet says 503, for a few seconds at most."""
        until = time.monotonic() + BACK
        while True:
            status, held = await self._call("GET", f"/api/sessions/{session_id}")
            if status != 503 or time.monotonic() > until:
                return status, held
            await asyncio.sleep(0.5)

    async def _back(self) -> None:
        """Waits until the store is there again, as the workers see it."""
        until = time.monotonic() + BACK
        while (await self._call("GET", "/api/sessions"))[0] != 200:
            if time.monotonic() > until:
                raise RuntimeError("the store does not come back")
            await asyncio.sleep(0.1)

    # Blocking --------------------------------------------------------------------------------------------------------

    def _strike(self, fault: str) -> None:
        folder = self._instance.folder / "valkey"
        if fault == "flush":
            shutil.rmtree(self._kept, ignore_errors=True)
            shutil.copytree(folder, self._kept, ignore=lambda _, names: [each for each in names if ".sock" in each])
            with redis.Redis(unix_socket_path=str(socket_path(self._instance.folder))) as client:
                client.flushall()
            return
        launcher = self._instance.pid
        os.kill(launcher, signal.SIGSTOP)  # so that it starts no other meanwhile
        try:
            for server in [child for child in children(launcher) if name(child) == "valkey-server"]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(server, signal.SIGKILL)
            if fault == "older":
                time.sleep(0.2)
                for path in folder.iterdir():
                    if path.is_dir():
                        shutil.rmtree(path)
                    elif path.suffix in (".rdb", ".aof"):
                        path.unlink()
                shutil.copytree(self._kept, folder, dirs_exist_ok=True)
        finally:
            os.kill(launcher, signal.SIGCONT)


async def lose(folder: Path, *, sessions: int, rounds: int, seconds: float) -> Loss:
    """Starts an instance in the folder, plays, and stops it."""
    model = Model()
    await model.start()
    settings = {"MODEL_ENDPOINT": model.url, "MODEL_NAME": "selftest", "API_KEY": "none", "LOCAL_MODEL": "off"}
    instance = Instance(folder / "var", WORKERS="2", **settings)
    try:
        await asyncio.to_thread(instance.start)
        loss = Loss(instance, sessions=sessions, model="selftest")
        await loss.run(rounds, seconds)
        return loss
    finally:
        await asyncio.to_thread(instance.stop)
        await model.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=5.0, help="between two faults")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="clawdbot-loss-"))
    loss = asyncio.run(lose(folder, sessions=options.sessions, rounds=options.rounds, seconds=options.seconds))
    answered = sum(len(talk.answered) for talk in loss.talks)
    deleted = sum(talk.deleted for talk in loss.talks)
    print(f"{answered} turns answered on {len(loss.talks)} sessions, {deleted} deleted, {loss.failed} calls failed")
    print("\n".join(loss.faults[:20]) or "None lost, doubled or reordered; what was deleted is gone.")
    if not loss.faults:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if loss.faults else 0


if __name__ == "__main__":
    sys.exit(main())
