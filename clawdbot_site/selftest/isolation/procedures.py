"""The attack over gRPC: every method, and every kind of frame of a conversation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import grpc

from access.edges.grpc.generated import chat_pb2 as pb
from clawdbot_site.selftest.isolation.attack import leaked
from clawdbot_site.selftest.isolation.report import Finding, Kind
from clawdbot_site.selftest.isolation.surface import Door
from clawdbot_site.selftest.isolation.world import STRANGERS, WITHOUT, World

SERVICE: Final = pb.DESCRIPTOR.services_by_name["ChatService"].full_name
PATIENCE: Final = 30.0
Ids = dict[str, str]


def _chat(ids: Ids) -> Any:
    return pb.ChatRequest(message="Hello", session_id=ids["session_id"])


REQUESTS: Final[dict[str, Any]] = {
    "Chat": _chat,
    "StreamChat": _chat,
    "Converse chat": lambda ids: pb.ClientFrame(ref="r", chat=_chat(ids)),
    "Converse cancel": lambda ids: pb.ClientFrame(ref="r", cancel=pb.Cancel(turn_id=ids["running"])),
    "Converse resume": lambda ids: pb.ClientFrame(ref="r", resume=pb.Resume(turn_id=ids["turn_id"])),
    "Converse ping": lambda ids: pb.ClientFrame(ref="r", ping=pb.Ping()),
}


def attack(world: World, doors: list[Door], counted: Counter[str]) -> Iterator[Finding]:
    with grpc.insecure_channel(world.grpc) as channel:
        for door in doors:
            name = door.path.removeprefix(f"{SERVICE}/")
            if name not in REQUESTS:
                yield Finding(str(door), "anybody", "not covered", "no request of this kind is known here")
                continue
            for who in STRANGERS:
                counted["grpc"] += 1
                yield from _as(world, channel, who, name, door)


def control(world: World, doors: list[Door]) -> Iterator[Finding]:
    """The owner's turn."""
    with grpc.insecure_channel(world.grpc) as channel:
        for door in doors:
            name = door.path.removeprefix(f"{SERVICE}/")
            if name in REQUESTS and (answer := _said(world, channel, "alice", name, world.ids))[0] != "OK":
                yield Finding(str(door), "its owner", "not covered", " ".join(answer)[:160])


def _as(world: World, channel: Any, who: str, name: str, door: Door) -> Iterator[Finding]:
    code, said = _said(world, channel, who, name, world.ids)

    def found(kind: Kind, more: str = "") -> Finding:
        return Finding(str(door), who, kind, f"{code} {more or said[:120]}")

    if who in WITHOUT:
        if code != "UNAUTHENTICATED":
            yield found("let in")
        return
    if code in ("INTERNAL", "UNKNOWN"):
        yield found("failed")
    if leaked(world, who, said, {"session_id", "turn_id", "running"}):
        yield found("shown")
    if code == "OK" and not name.endswith(" ping"):
        yield found("let in")
    other, _ = _said(world, channel, who, name, world.unknown)
    if other != code:
        yield found("told apart", other)


def _said(world: World, channel: Any, who: str, name: str, ids: Ids) -> tuple[str, str]:
    """The status (of a frame that is an error, `error:` and its code), and everything that was said."""
    given = world.headers[who].get("Authorization")
    metadata = (("authorization", given),) if given else ()
    method, _, kind = name.partition(" ")
    request = REQUESTS[name](ids)
    try:
        if kind:
            call = channel.stream_stream(
                f"/{SERVICE}/{method}", pb.ClientFrame.SerializeToString, pb.ServerFrame.FromString
            )
            frames = list(call(iter([request]), metadata=metadata, timeout=PATIENCE))
            wrong = [frame.error.code for frame in frames if frame.WhichOneof("kind") == "error"]
            return (f"error:{wrong[0]}" if wrong else "OK"), str(frames)
        encode, decode = pb.ChatRequest.SerializeToString, pb.ChatResponse.FromString
        if method == "Chat":
            call = channel.unary_unary(f"/{SERVICE}/{method}", encode, decode)
            return "OK", str(call(request, metadata=metadata, timeout=PATIENCE))
        call = channel.unary_stream(f"/{SERVICE}/{method}", encode, pb.ChatEvent.FromString)
        return "OK", str(list(call(request, metadata=metadata, timeout=PATIENCE)))
    except grpc.RpcError as error:
        return error.code().name, str(error.details())
