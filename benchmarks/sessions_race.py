"""Racing turns on many sessions while web workers die: `python -m benchmarks.sessions_race [--sessions N] [--turns N]`.

Clients ask again when a session is busy (409), and never when an answer was cut off. Afterwards each session must hold
exactly what the journal says, in its order: every answered turn, none twice, each made upon a version of its own.
Exit 1: not so."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

ROOT: Final = Path(__file__).resolve().parents[1]
PATIENCE: Final = 150.0  # seconds a call may take: a dead worker's lease runs out meanwhile

Recorded = Mapping[str, Sequence[tuple[int, str]]]  # by session: the version each turn was made upon, and its text


@dataclass
class Race:
    """What the clients saw. `answered` and `cut` are the texts of turns by session."""

    answered: dict[str, set[str]] = field(default_factory=dict)
    cut: dict[str, set[str]] = field(default_factory=dict)
    busy: int = 0
    failed: list[str] = field(default_factory=list)
    held: dict[str, list[str]] = field(default_factory=dict)  # what the sessions hold afterwards

    @property
    def turns(self) -> int:
        return sum(map(len, self.answered.values()))

    def faults(self, recorded: Recorded) -> list[str]:
        """One line each; none: what was promised holds."""
        found = list(self.failed)
        for session, answered in self.answered.items():
            entries = recorded.get(session, ())
            texts, held = [text for _, text in entries], self.held[session]
            if lost := answered - set(held):
                found.append(f"{session} lost {sorted(lost)}")
            if len(set(held)) != len(held):
                found.append(f"{session} has turns twice: {held}")
            if held != texts:
                found.append(f"{session} holds {held}, the journal {texts}")
            if [version for version, _ in entries] != list(range(len(entries))):
                found.append(f"{session}: turns upon versions {[version for version, _ in entries]}")
            if strangers := set(held) - answered - self.cut[session]:
                found.append(f"{session} holds {sorted(strangers)} that nobody asked")
        return found


async def race(
    url: str,
    key: str,
    *,
    sessions: int,
    turns: int,
    together: int = 8,
    kill: Callable[[], None],
    every: float,
    model: str = "auto",
) -> Race:
    """`together` sessions at a time, each with all its `turns` at once; `kill` is called each so many seconds."""
    seen = Race()
    room = asyncio.Semaphore(together)
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(url, headers=headers, timeout=timeout, connector=connector) as client:

        async def one(number: int) -> None:
            async with room:
                await _session(client, seen, number, turns, model)

        killing = asyncio.create_task(_kill(kill, every))
        await asyncio.gather(*(one(number) for number in range(sessions)))
        killing.cancel()
        for session in seen.answered:
            seen.held[session] = await _texts(client, session)
    return seen


async def _kill(kill: Callable[[], None], every: float) -> None:
    while True:
        await asyncio.sleep(every)
        kill()


async def _session(client: aiohttp.ClientSession, seen: Race, number: int, turns: int, model: str) -> None:
    session = ""
    while not session:
        status, answer = await _ask(client, {"message": f"{number}: first", "model": model})
        session = answer["session_id"] if status == 200 else ""
    seen.answered[session], seen.cut[session] = {f"{number}: first"}, set()
    await asyncio.gather(*(_turn(client, seen, session, f"{number}: {turn}", model) for turn in range(1, turns)))


async def _turn(client: aiohttp.ClientSession, seen: Race, session: str, text: str, model: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        status, answer = await _ask(client, {"message": text, "model": model, "session_id": session})
        if status == 200:
            seen.answered[session].add(text)
            return
        if status == 409 and answer["error"]["code"] == "session_busy":
            seen.busy += 1
            await asyncio.sleep(random.uniform(0.05, 0.3))
            continue
        seen.cut[session].add(text)
        if status not in (0, 503):
            seen.failed.append(f"{text}: {status} {answer}")
        return
    seen.failed.append(f"{text}: never had its turn")


async def _ask(client: aiohttp.ClientSession, body: dict[str, str]) -> tuple[int, dict]:
    """Status and answer; 0: it was cut off, or nobody was there."""
    try:
        async with client.post("/api/chat", json=body) as response:
            return response.status, await response.json()
    except (aiohttp.ClientError, OSError, TimeoutError):
        await asyncio.sleep(0.05)
        return 0, {}


async def _texts(client: aiohttp.ClientSession, session: str) -> list[str]:
    async with client.get(f"/api/sessions/{session}") as response:
        stack = (await response.json())["context_stack"]
    return [message["content"] for message in stack if message["role"] == "user"]


def recorded(environment: Mapping[str, str], sessions: Sequence[str]) -> Recorded:
    """What the journal of an instance with these settings says. Blocking."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sessions_race", "--recorded"],
        cwd=ROOT,
        env=dict(environment),
        input="\n".join(sessions),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, list[tuple[int, str]]] = json.loads(done.stdout)
    return found


def _print_recorded(sessions: Sequence[str]) -> None:
    import django  # noqa: PLC0415  # only here are settings wanted

    django.setup()
    from compliance.journal.session_past import events  # noqa: PLC0415
    from engine.entries import PastTurn  # noqa: PLC0415
    from tenants import stored_keys  # noqa: PLC0415
    from tenants.models import ApiKey  # noqa: PLC0415

    key = ApiKey.objects.everywhere().order_by("pk")[0]
    found = {}
    for session in sessions:
        past = events(key.tenant_id, session, stored_keys.stored, user=None, key_id=key.pk)
        turns = sorted((each.parent, each.at, each.turn_id, each.said) for each in past if isinstance(each, PastTurn))
        found[session] = [(parent, said[0].content) for parent, _, _, said in turns]
    print(json.dumps(found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--turns", type=int, default=50)
    parser.add_argument("--together", type=int, default=8)
    parser.add_argument("--kill-every", type=float, default=20.0)
    parser.add_argument("--recorded", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.recorded:
        _print_recorded(sys.stdin.read().split())
        return 0
    folder = Path(tempfile.mkdtemp(prefix="clawdbot-race-"))
    faults = asyncio.run(_play(options, folder))
    print("\n".join(faults[:20]) or "None lost, doubled or reordered.")
    if not faults:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if faults else 0


async def _play(options: argparse.Namespace, folder: Path) -> list[str]:
    from clawdbot_site.selftest.instance import Instance  # noqa: PLC0415
    from clawdbot_site.selftest.model import Model  # noqa: PLC0415

    model = Model()
    await model.start()
    settings = {"MODEL_ENDPOINT": model.url, "MODEL_NAME": "selftest", "API_KEY": "none", "LOCAL_MODEL": "off"}
    instance = Instance(folder / "var", WORKERS="2", **settings)
    kills = 0

    def kill() -> None:
        nonlocal kills
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(random.choice(instance.workers()), signal.SIGKILL)
            kills += 1

    try:
        await asyncio.to_thread(instance.start)
        began = time.monotonic()
        seen = await race(
            instance.url,
            instance.key,
            sessions=options.sessions,
            turns=options.turns,
            together=options.together,
            kill=kill,
            every=options.kill_every,
        )
        took = time.monotonic() - began
        said = await asyncio.to_thread(recorded, instance.environment, list(seen.answered))
        cut = sum(map(len, seen.cut.values()))
        print(
            f"{seen.turns} turns answered on {len(seen.answered)} sessions in {took:.0f} s, {kills} workers killed, "
            f"{cut} cut off, 409 {seen.busy} times"
        )
        return seen.faults(said)
    finally:
        await asyncio.to_thread(instance.stop)
        await model.stop()


if __name__ == "__main__":
    sys.exit(main())
