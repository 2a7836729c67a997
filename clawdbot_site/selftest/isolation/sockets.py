"""The attack over the WebSocket: every kind of frame with the owner's ids, then with ids that nobody has."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from typing import Final

import aiohttp

from clawdbot_site.selftest.isolation.attack import leaked
from clawdbot_site.selftest.isolation.report import Finding, Kind
from clawdbot_site.selftest.isolation.surface import Door
from clawdbot_site.selftest.isolation.world import STRANGERS, WITHOUT, World

# Each kind of frame with what it names.
FRAMES: Final[dict[str, dict[str, str]]] = {
    "chat": {"message": "Hello", "session_id": "{session_id}"},
    "cancel": {"turn_id": "{running}"},
    "resume": {"turn_id": "{turn_id}"},
    "watch": {"session_id": "{session_id}"},
    "unwatch": {"session_id": "{session_id}"},
    "ping": {},
}
SILENT: Final = 2.0  # seconds after which nothing more is said
REFUSED: Final = (401, 403)


def attack(world: World, doors: list[Door], counted: Counter[str]) -> list[Finding]:
    """By everybody but the owner."""
    return asyncio.run(_attack(world, doors, counted))


async def _attack(world: World, doors: list[Door], counted: Counter[str]) -> list[Finding]:
    found: list[Finding] = []
    kinds = {door.path.rpartition(" ")[2]: door for door in doors}
    for kind, door in kinds.items():
        if kind not in FRAMES:
            found.append(Finding(str(door), "anybody", "not covered", "no frame of this kind is known here"))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{world.port}") as session:
        for kind, door in kinds.items():
            if kind in FRAMES:
                counted["websocket"] += len(STRANGERS)
                # together: most of it is waiting for what is not said
                heard = await asyncio.gather(*(_as(world, session, who, kind, door) for who in STRANGERS))
                found += itertools.chain.from_iterable(heard)
    return found


async def _as(world: World, session: aiohttp.ClientSession, who: str, kind: str, door: Door) -> list[Finding]:
    found: list[Finding] = []
    said = await _said(world, session, who, kind, world.ids)
    if who in WITHOUT:
        if said is not None:
            found.append(_found(door, who, "let in", said))
        return found
    if said is None:
        return [_found(door, who, "failed", ["the handshake is refused"])]
    if leaked(world, who, "".join(said), {"session_id", "turn_id", "running"}):
        found.append(_found(door, who, "shown", said))
    if FRAMES[kind] and any('"delta"' in each or '"done"' in each for each in said):
        found.append(_found(door, who, "let in", said))
    other = await _said(world, session, who, kind, world.unknown)
    if _plain(said) != _plain(other or []):
        found.append(_found(door, who, "told apart", [*said, "/", *(other or [])]))
    return found


async def _said(
    world: World, session: aiohttp.ClientSession, who: str, kind: str, ids: dict[str, str]
) -> list[str] | None:
    """What is answered to one frame; None: the handshake is refused."""
    frame = json.loads(world.filled(json.dumps(FRAMES.get(kind, {})), ids)) | {"type": kind, "ref": "r"}
    try:
        async with session.ws_connect("/ws/chat", headers=world.headers[who]) as socket:
            await socket.send_json(frame)
            said: list[str] = []
            while True:
                try:
                    message = await asyncio.wait_for(socket.receive(), SILENT if not said else SILENT / 4)
                except TimeoutError:
                    return said
                if message.type is not aiohttp.WSMsgType.TEXT:
                    return said
                said.append(message.data)
    except aiohttp.WSServerHandshakeError as error:
        if error.status not in REFUSED:
            raise
        return None


def _plain(said: list[str]) -> list[tuple[object, object]]:
    frames = [json.loads(each) for each in said]
    return [(frame.get("type"), frame.get("code"), frame.get("message")) for frame in frames]


def _found(door: Door, who: str, kind: Kind, said: list[str]) -> Finding:
    return Finding(str(door), who, kind, " ".join(said)[:200])


def control(world: World, doors: list[Door]) -> list[Finding]:
    """The owner's turn."""
    return asyncio.run(_control(world, doors))


async def _control(world: World, doors: list[Door]) -> list[Finding]:
    found = []
    async with aiohttp.ClientSession(f"http://127.0.0.1:{world.port}") as session:
        for door in doors:
            kind = door.path.rpartition(" ")[2]
            said = await _said(world, session, "alice", kind, world.ids)
            if kind in FRAMES and (said is None or any('"type":"error"' in each for each in said)):
                found.append(_found(door, "its owner", "not covered", said or []))
    return found
