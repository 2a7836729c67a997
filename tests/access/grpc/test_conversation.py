"""`Converse`: turns side by side, cancel and resume, limits, the end."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from access.edges.grpc import conversation as module
from access.edges.grpc.generated import chat_pb2 as pb
from tests.access.grpc.client import converse, metadata, served
from tests.access.parts import build
from tests.cast import BOB, CHARLIE
from tests.conformance.edges import within
from tests.engine.parts import ScriptedModel

pytestmark = pytest.mark.usefixtures("kind")


def asking(text="Hi", ref="", **fields):
    return pb.ClientFrame(ref=ref, chat=pb.ChatRequest(message=text, **fields))


async def heard(call):
    """The next frame, and of which kind it is."""
    frame = await asyncio.wait_for(call.read(), 30)
    assert frame is not grpc.aio.EOF
    return frame, frame.WhichOneof("kind")


async def until(call, *kinds):
    """All frames up to the first of one of these kinds."""
    frames = []
    while not frames or frames[-1].WhichOneof("kind") not in kinds:
        frames.append((await heard(call))[0])
    return frames


async def test_it_answers_pings_while_turns_run():
    release = asyncio.Event()
    site = build(ScriptedModel(["Hel", release, "lo"]))
    async with served(site) as (_, channel):
        call = converse(channel, metadata=metadata(site.alice))
        await call.write(asking(ref="a"))
        await until(call, "delta")
        await call.write(pb.ClientFrame(ref="p", ping=pb.Ping()))
        frame, kind = await heard(call)
        assert (frame.ref, kind, frame.HasField("event_id")) == ("p", "pong", False)
        await call.write(asking(ref="b"))
        assert [frame.ref for frame in await until(call, "delta")] == ["b", "b"]
        release.set()
        ends = {(await until(call, "done"))[-1].ref, (await until(call, "done"))[-1].ref}
        assert ends == {"a", "b"}
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK


async def test_it_cancels_by_ref_and_by_turn():
    model = ScriptedModel(["Hel", asyncio.Event()])
    site = build(model)
    async with served(site) as (_, channel):
        call = converse(channel, metadata=metadata(site.alice))
        for closed, by_ref in ((1, True), (2, False)):
            await call.write(asking(ref="a"))
            turn_id = (await until(call, "delta"))[0].start.id
            cancel = pb.Cancel() if by_ref else pb.Cancel(turn_id=turn_id)
            await call.write(pb.ClientFrame(ref="a" if by_ref else "", cancel=cancel))
            await within(0.1, lambda closed=closed: model.closed == closed)
            frame, kind = await heard(call)
            assert (frame.ref, kind, frame.error.code, frame.error.turn_id) == ("a", "error", "cancelled", turn_id)
        await call.write(pb.ClientFrame(ref="a", cancel=pb.Cancel()))
        frame, kind = await heard(call)
        assert (kind, frame.error.code, frame.error.param) == ("error", "turn_not_found", "ref")
        call.cancel()


async def test_nobody_else_cancels_or_resumes():
    model = ScriptedModel(["Hel", asyncio.Event()])
    site = build(model, grace=60)
    async with served(site) as (_, channel):
        call = converse(channel, metadata=metadata(site.alice))
        await call.write(asking())
        turn_id = (await until(call, "delta"))[0].start.id
        for person in (BOB, CHARLIE):
            other = converse(channel, metadata=metadata(site.client(person.key)))
            for frame in (pb.ClientFrame(cancel=pb.Cancel(turn_id=turn_id)), resuming(turn_id)):
                await other.write(frame)
                said, kind = await heard(other)
                assert (kind, said.error.code) == ("error", "turn_not_found")
            other.cancel()
        assert model.closed == 0
        await call.write(pb.ClientFrame(cancel=pb.Cancel(turn_id=turn_id)))
        await until(call, "error")
        call.cancel()


def resuming(turn_id, last=None, ref=""):
    return pb.ClientFrame(ref=ref, resume=pb.Resume(turn_id=turn_id, last_event_id=last))


async def test_a_turn_goes_on_without_its_reader_who_comes_back():
    release = asyncio.Event()
    site = build(ScriptedModel(["Hel", release, "lo"]), grace=60)
    async with served(site) as (_, channel):
        first = converse(channel, metadata=metadata(site.alice))
        await first.write(asking(ref="a"))
        begun = await until(first, "delta")
        turn_id = begun[0].start.id
        first.cancel()
        second = converse(channel, metadata=metadata(site.alice))
        await second.write(resuming(turn_id, begun[-1].event_id, "b"))
        await asyncio.sleep(0.05)
        release.set()
        rest = await until(second, "done")
        assert [(frame.ref, frame.event_id) for frame in rest] == [("b", f"{turn_id}.{n}") for n in (2, 3)]
        assert (rest[0].delta.content, rest[1].done.message.content) == ("lo", "Hello")
        await second.write(resuming(turn_id, rest[-1].event_id, "c"))
        frame, kind = await heard(second)
        assert (frame.ref, kind, frame.over.turn_id) == ("c", "over", turn_id)
        await second.write(resuming(turn_id, ref="d"))
        again = await until(second, "done")
        assert [frame.WhichOneof("kind") for frame in again][::3] == ["start", "done"]
        assert again[-1].done.message.content == "Hello"
        second.cancel()


async def test_its_deadline_ends_its_turns():
    model = ScriptedModel(["Hel", asyncio.Event()])
    site = build(model, grace=60)
    async with served(site) as (_, channel):
        call = converse(channel, metadata=metadata(site.alice), timeout=0.5)
        await call.write(asking())
        await until(call, "delta")
        with pytest.raises(grpc.aio.AioRpcError):
            await call.read()
        assert await call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await within(0.5, lambda: model.closed == 1)


async def test_refusals_end_their_frame_and_not_the_conversation():
    site = build(ScriptedModel(["Hel", asyncio.Event()]))
    frames = {
        "": pb.ClientFrame(),
        "a turn's": resuming("x"),
        "an event's": resuming("0" * 32, "y"),
        "a long ref": asking(ref="r" * 129),
        "no text": pb.ClientFrame(chat=pb.ChatRequest()),
    }
    async with served(site) as (_, channel):
        call = converse(channel, metadata=metadata(site.alice))
        codes = []
        for frame in frames.values():
            await call.write(frame)
            codes.append((await heard(call))[0].error.code)
        assert codes == ["invalid_request", "turn_not_found", *["invalid_request"] * 3]
        await call.write(asking(ref="a"))
        await until(call, "delta")
        await call.write(asking(ref="a"))
        frame, _ = await heard(call)
        assert (frame.error.code, frame.error.param, frame.ref) == ("invalid_request", "ref", "a")
        call.cancel()


async def test_it_runs_eight_turns_at_once():
    site = build(ScriptedModel(["Hel", asyncio.Event()]))
    async with served(site) as (_, channel):
        call = converse(channel, metadata=metadata(site.alice))
        for number in range(module.TURNS_AT_ONCE + 1):
            await call.write(asking(ref=str(number)))
        frame = (await until(call, "error"))[-1]
        assert (frame.ref, frame.error.code) == ("8", "rate_limited")
        call.cancel()


async def ended(call):
    """How the call ends, whatever is still said before."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        while await asyncio.wait_for(call.read(), 30) is not grpc.aio.EOF:
            pass
    return error.value.code(), dict(error.value.trailing_metadata()).get("clawdbot-code")


async def test_a_flood_ends_it_and_its_turns():
    model = ScriptedModel(["Hel", asyncio.Event()])
    site = build(model, grace=60)
    async with served(site) as (_, channel):
        call = converse(channel, metadata=metadata(site.alice))
        await call.write(asking())
        await until(call, "delta")
        ending = asyncio.ensure_future(ended(call))
        for _ in range(module.FRAMES_A_SECOND + 5):
            if not call.done():  # the library's client forgets a call's status when it writes after its end
                await call.write(pb.ClientFrame(ping=pb.Ping()))
                await asyncio.sleep(0.005)
        assert await ending == (grpc.StatusCode.RESOURCE_EXHAUSTED, "rate_limited")
        await within(0.5, lambda: model.closed == 1)


async def test_a_frame_that_is_too_large_ends_it():
    site = build()
    async with served(site) as (_, channel):
        call = converse(channel, metadata=metadata(site.alice))
        await call.write(asking("x" * module.MAX_FRAME))
        assert await ended(call) == (grpc.StatusCode.INVALID_ARGUMENT, "payload_too_large")


async def test_a_revoked_key_ends_it_and_its_turns(monkeypatch):
    monkeypatch.setattr(module, "CHECK_EVERY", 0.01)
    model = ScriptedModel(["Hel", asyncio.Event()])
    site = build(model, grace=60)
    async with served(site) as (_, channel):
        call = converse(channel, metadata=metadata(site.alice))
        await call.write(asking())
        await until(call, "delta")
        site.keys.revoked.add(site.alice.headers["Authorization"].removeprefix("Bearer "))
        assert await ended(call) == (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated")
        await within(0.5, lambda: model.closed == 1)


async def test_one_who_reads_nothing_is_left_and_can_come_back(monkeypatch):
    monkeypatch.setattr("access.generations.STALLED", 0.2)
    release = asyncio.Event()
    many = [*["x" * 4096] * 4000, release, "end"]
    site = build(ScriptedModel(many), grace=60)
    async with served(site) as (_, channel):
        call = converse(channel, metadata=metadata(site.alice))
        await call.write(asking())
        turn_id = (await until(call, "delta"))[0].start.id
        generation = site.parts.generations.find(whose(site), turn_id)
        await within(10, lambda: not generation.readers)
        release.set()
        await within(5, lambda: generation.over and generation.frames[-2].count(b"end"))
        assert await ended(call) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "rate_limited")


def whose(site):
    return site.keys.cached([(b"authorization", site.alice.headers["Authorization"].encode())], None)


async def test_a_restart_lets_turns_end_and_begins_none():
    release = asyncio.Event()
    site = build(ScriptedModel(["Hel", release, "lo"]))
    async with served(site) as (server, channel):
        idle, busy = (converse(channel, metadata=metadata(site.alice)) for _ in range(2))
        for call in (idle, busy):
            await call.write(pb.ClientFrame(ping=pb.Ping()))
            await heard(call)
        await busy.write(asking(ref="a"))
        await until(busy, "delta")
        stopping = asyncio.ensure_future(server.stop(10))
        assert await ended(idle) == (grpc.StatusCode.UNAVAILABLE, "unavailable")
        await busy.write(asking(ref="b"))
        frame, kind = await heard(busy)
        assert (frame.ref, kind, frame.error.code) == ("b", "error", "unavailable")
        release.set()
        assert (await until(busy, "done"))[-1].ref == "a"
        assert await ended(busy) == (grpc.StatusCode.UNAVAILABLE, "unavailable")
        await stopping


async def test_a_restart_waits_for_the_last_frame_of_every_turn(monkeypatch):
    """Also of one whose ref is free again already, while it is written."""
    release, slow = asyncio.Event(), asyncio.Event()
    write = module.Conversation._write

    async def write_slowly(conversation, message):
        frame = pb.ServerFrame.FromString(message)
        if frame.ref == "a" and frame.HasField("done"):
            await slow.wait()
        await write(conversation, message)

    monkeypatch.setattr(module.Conversation, "_write", write_slowly)
    site = build(ScriptedModel(["Hel", release, "lo"]))
    async with served(site) as (server, channel):
        call = converse(channel, metadata=metadata(site.alice))
        for ref in "ab":
            await call.write(asking(ref=ref))
            await until(call, "delta")
        stopping = asyncio.ensure_future(server.stop(10))
        release.set()
        assert (await until(call, "done"))[-1].ref == "b"
        with pytest.raises(TimeoutError):  # the call is not over
            await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(call.code())), 0.1)
        slow.set()
        assert (await until(call, "done"))[-1].ref == "a"
        assert await ended(call) == (grpc.StatusCode.UNAVAILABLE, "unavailable")
        await stopping
