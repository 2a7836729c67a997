"""The client of `sdk/python` against the product: sessions and what they were, a socket, gRPC."""

import pytest
from clawdbot_client import ClawdbotError, Client
from clawdbot_client.rpc import GrpcClient
from clawdbot_client.socket import Socket

from tests.product.running import Product
from tests.product.upstreams import ANSWER


async def test_it_reaches_sessions_and_their_past(gateway: Product):
    async with Client(gateway.url, gateway.key) as client:
        sessions = client.sessions
        first = await client.chat("One.")
        session_id = first.session_id
        kept = await sessions.snapshot(session_id, "after one", ["early"])
        events = [event async for event in client.stream("Two.", session_id=session_id)]
        assert (await sessions.read(session_id))["version"] == 2
        assert session_id in [each["session_id"] async for each in sessions.all()]
        assert (await sessions.list(limit=1))["sessions"]
        assert [each["id"] for each in (await sessions.snapshots(session_id))["snapshots"]] == [kept["id"]]
        assert (await sessions.diff(session_id, 1))["messages"]["added"]
        assert len((await sessions.versions(session_id, limit=1))["versions"]) == 1
        branch = await sessions.branch(session_id, snapshot=kept["id"], new_id=f"branch-{first.id[:8]}")
        assert (await sessions.read(branch["session_id"]))["version"] == 1
        assert (await sessions.restore(session_id, version=1, if_version=2))["version"] == 3
        assert (await sessions.patch(session_id, name="Mine"))["name"] == "Mine"
        record = await client.turn(events[0].id)
        assert record["id"] == events[0].id and record["state"] == "completed"
        assert [event async for event in client.events(events[0].id, events[0].event_id)] == events[1:]
        await sessions.delete(session_id)
        with pytest.raises(ClawdbotError) as gone:
            await sessions.read(session_id)
        assert (gone.value.code, gone.value.status) == ("session_not_found", 404)


async def test_its_three_ways_say_the_same(gateway: Product):
    async with (
        Client(gateway.url, gateway.key) as rest,
        Socket(gateway.url, gateway.key) as socket,
        GrpcClient(gateway.access["grpc_target"], gateway.key) as rpc,
    ):
        first = await rest.chat("Hello")
        whole = await rpc.chat("Hello", session_id=first.session_id)
        assert first.message == whole.message == {"role": "assistant", "content": ANSWER}
        assert first.usage == whole.usage
        ends = []
        async with rpc.conversation() as talk:
            for stream in (rest.stream, socket.chat, rpc.stream, talk.chat):
                events = [event async for event in stream("Hello", session_id=first.session_id)]
                assert events[0].session_id == first.session_id and events[0].model == first.model
                ends.append((events[-1].message, events[-1].usage, events[-1].finish_reason))
        assert all(end == ends[0] for end in ends)
