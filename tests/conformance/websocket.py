"""`docs/websocket.md`, held: every sentence of the page is a check here, or names the test that is one.

`WebSocketSuite` runs wherever a `Place` can be made: in this process against the application, and against the running
product through a real client; `LiveWebSocketSuite` adds what takes a server. `unheld` says which sentences nobody
holds."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "websocket.md").read_text(encoding="utf-8")
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJqdGkiOiIxIn0.c2lnbmF0dXJl"
HANG = object()  # the model says no more

HERE = "tests/conformance/websocket.py::"
EDGE = "tests/access/test_websocket.py::"
ROLL = "tests/access/test_connections.py::"
BYTES = "tests/clawdbot_site/test_sockets.py::"
WATCHED = "tests/access/test_watching.py::"

HELD: dict[str, str] = {  # beginnings of sentences, by who holds them
    "What this page says is checked": "tests/access/test_websocket_protocol.py::test_every_sentence_is_held",
    "The server logs no handshake at all": "tests/product/test_websocket_protocol.py::test_it_logs_no_credential",
    "The credential is looked at again": f"{ROLL}test_it_looks_at_everybody_now_and_then_without_being_told",
    "While nobody can say": f"{EDGE}test_it_stays_open_while_nobody_can_say_who_is_calling",
    "| `watch`": f"{WATCHED}test_it_watches_so_many_sessions_and_no_more",
    "| `delta`": f"{WATCHED}test_what_it_was_sent_is_plain_json",
    "| 1002, 1007": f"{BYTES}test_it_says_why_it_closes",
    "| 1011": f"{BYTES}test_who_answers_no_ping_is_taken_for_gone",
    "| 1012": "tests/product/test_websocket_protocol.py::test_a_worker_that_is_replaced_says_so_after_its_turns",
    "| 4403": f"{EDGE}test_it_closes_when_its_credential_may_no_longer_chat",
    "The turns of a socket that is gone": "tests/product/test_resume.py::test_random_cuts_lose_and_double_nothing",
    "A socket that has begun a turn watches": f"{WATCHED}test_who_uses_a_session_watches_it_and_is_shown_nothing_twice",
    "When the server is being replaced": (
        f"{EDGE}test_a_server_that_is_replaced_sends_idle_sockets_away_and_others_after_their_turns"
    ),
    "Until then `chat` and `resume`": (
        f"{EDGE}test_a_server_that_is_replaced_sends_idle_sockets_away_and_others_after_their_turns"
    ),
    "For a client that does not read": f"{BYTES}test_who_does_not_read_is_held_a_buffer_and_dropped",
    "Its turns run on": "tests/access/test_generations.py::test_a_slow_reader_holds_up_nobody",
    "From then on the client must": f"{BYTES}test_who_trickles_is_dropped_too",
    "Who does, however slowly": f"{BYTES}test_a_slow_reader_that_goes_on_reading_is_left_alone",
    "The close frame stands behind": f"{BYTES}test_who_begins_to_read_again_hears_why_it_was_dropped",
    "A header must be sent": "tests/clawdbot_site/test_server.py::test_it_closes_a_half_sent_header",
    "An open socket is sent a protocol ping": f"{BYTES}test_who_answers_pings_stays",
    "A ping that is still on its way": f"{BYTES}test_a_slow_reader_that_goes_on_reading_is_left_alone",
    "`clawdbot_websockets`": f"{EDGE}test_it_counts_open_sockets_and_why_they_ended",
    "An idle socket has no timer": f"{ROLL}test_a_herd_that_nothing_happens_to_costs_nothing",
    "What 10,000 idle sockets": "benchmarks/idle_sockets.py::main",
    "Every socket is an open file": "clawdbot_site/serving/files.py::raise_limit",
}

Test = TypeVar("Test", bound=Callable[..., Any])


def holds(*beginnings: str) -> Callable[[Test], Test]:
    """This check holds the sentences that begin so."""

    def mark(test: Test) -> Test:
        HELD.update(dict.fromkeys(beginnings, HERE + test.__name__))
        return test

    return mark


def sentences() -> list[str]:
    """Of the page: rows of its tables one by one, list items and paragraphs by sentence."""
    text = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    found: list[str] = []
    for block in text.split("\n\n"):
        lines = [line for line in block.strip().splitlines() if not line.startswith("#")]
        if lines and lines[0].startswith("|"):
            found += lines[2:]
            continue
        for paragraph in re.split(r"\n(?=\d\. |- )", "\n".join(lines)):
            whole = " ".join(paragraph.split())
            found += re.split(r"(?<=\.)\s+(?=[A-Z]|`)", re.sub(r"^\d\. ", "", whole))
    return [sentence for sentence in found if len(sentence) > 2]


def unheld() -> list[str]:
    return [one for one in sentences() if not any(one.startswith(beginning) for beginning in HELD)]


def nowhere() -> list[str]:
    """Claims that hold no sentence, or name a test that does not exist."""
    wrong = [beginning for beginning in HELD if not any(one.startswith(beginning) for one in sentences())]
    for place in HELD.values():
        path, _, name = place.partition("::")
        if f"def {name}(" not in (ROOT / path).read_text(encoding="utf-8"):
            wrong.append(place)
    return wrong


class Closed(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Refused(Exception):
    def __init__(self, status: int, error: dict[str, Any]) -> None:
        super().__init__(status, error)
        self.status, self.error = status, error


class Line(Protocol):
    """One socket. `frame` raises Closed."""

    protocol: str | None

    async def send(self, frame: Any) -> None: ...

    async def frame(self) -> dict[str, Any]: ...


class Place(Protocol):
    """Where the suite runs, and whose credential it shows. `open` raises Refused."""

    key: str

    def open(
        self, path: str = "/ws/chat", headers: dict[str, str] | None = None, protocols: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[Line]: ...

    async def ticket(self) -> dict[str, Any]: ...

    async def revoke(self) -> None:
        """The key is good no more."""


async def until(line: Line, *kinds: str) -> list[dict[str, Any]]:
    """All frames up to the first of these types."""
    frames = [await line.frame()]
    while frames[-1]["type"] not in kinds:
        frames.append(await line.frame())
    return frames


async def code_of(line: Line) -> int:
    with pytest.raises(Closed) as closed:
        while True:
            await line.frame()
    return closed.value.code


class StuckLine(Protocol):
    """A socket that has said one thing, and reads nothing."""

    async def dropped(self) -> None:
        """Until the server has given it up."""

    async def rest(self) -> tuple[list[dict[str, Any]], int]:
        """What is there for it all the same: frames and the close code."""


class LivePlace(Place, Protocol):
    def stuck(self, frame: dict[str, Any]) -> AbstractAsyncContextManager[StuckLine]: ...


class LiveLine(Line, Protocol):
    extensions: list[Any]


class WebSocketSuite:
    def place(self, *said: Any) -> AbstractAsyncContextManager[Place]:
        """One whose model says these pieces, to every question; with `HANG` last it never ends."""
        raise NotImplementedError

    @asynccontextmanager
    async def line(self, *said: Any) -> AsyncIterator[Line]:
        async with self.place(*said) as place, place.open(protocols=["bearer", place.key]) as line:
            yield line

    # Opening ---------------------------------------------------------------------------------------------------------

    @holds("The credential, in this order", "the header", "the sub-protocols")
    async def test_it_opens_by_header_and_by_sub_protocol(self):
        async with self.place("Hello") as place:
            for headers, protocols, selected in [
                ({"Authorization": f"Bearer {place.key}"}, [], None),
                ({"X-API-Key": place.key}, [], None),
                ({}, ["bearer", place.key], "bearer"),
                ({"Authorization": f"Bearer {place.key}"}, ["bearer", "cb_wrong"], "bearer"),  # the header counts
            ]:
                async with place.open(headers=headers, protocols=protocols) as line:
                    assert line.protocol == selected
                    await line.send({"type": "ping"})
                    assert await line.frame() == {"type": "pong"}

    @holds("`?ticket=`, from", "The socket then has")
    async def test_it_opens_by_ticket_once(self):
        async with self.place("Hello") as place:
            issued = await place.ticket()
            assert set(issued) == {"ticket", "expires_in"} and issued["expires_in"] == 60
            path = f"/ws/chat?ticket={issued['ticket']}"
            async with place.open(path) as line:
                await line.send({"type": "chat", "message": "Hi"})
                await until(line, "done")
                with pytest.raises(Refused) as refused:
                    async with place.open(path):
                        pass
                assert refused.value.status == 401
                await place.revoke()
                async with asyncio.timeout(30):
                    assert await code_of(line) == 4401

    @holds("A refused handshake is", "A key, a JWT or a visitor's ticket in the query")
    @pytest.mark.parametrize(
        ("path", "status", "code"),
        [
            ("/ws/chat", 401, "unauthenticated"),
            ("/ws/chat?ticket=nonsense", 401, "unauthenticated"),
            ("/ws/other", 404, "not_found"),
            ("/ws/chat?token=KEY", 400, "invalid_request"),
            ("/ws/chat?ticket=KEY", 400, "invalid_request"),
            (f"/ws/chat?x={JWT}", 400, "invalid_request"),
        ],
    )
    @pytest.mark.parametrize("good", [False, True], ids=["alone", "beside a good one"])
    async def test_it_refuses_in_http(self, path, status, code, good):
        async with self.place("Hello") as place:
            headers = {"Authorization": f"Bearer {place.key}"} if good and status != 401 else {}
            with pytest.raises(Refused) as refused:
                async with place.open(path.replace("KEY", place.key), headers=headers):
                    pass
        assert (refused.value.status, refused.value.error["code"]) == (status, code)
        assert {"code", "message", "request_id", "retryable"} <= set(refused.value.error)
        assert place.key not in str(refused.value.error)

    @holds("| 4401")
    async def test_it_closes_when_its_key_is_revoked(self):
        async with self.place("a", HANG) as place, place.open(protocols=["bearer", place.key]) as line:
            await line.send({"type": "chat", "message": "Hi"})
            await until(line, "delta")
            await place.revoke()
            async with asyncio.timeout(30):
                assert await code_of(line) == 4401

    # Frames ----------------------------------------------------------------------------------------------------------

    @holds("| `chat`", "| `start`", "| `done`", "All carry `type`", "One socket, many turns", "`ref` is yours")
    async def test_a_turn_is_start_deltas_and_done(self):
        async with self.line("Hel", "lo") as line:
            for ref in ("a" * 128, 7, -1):
                await line.send({"type": "chat", "ref": ref, "message": "Hi", "stream": False})
                start, *deltas, done = await until(line, "done", "error")
                assert set(start) == {"type", "ref", "event_id", "id", "session_id", "model"}
                assert {frame["type"] for frame in deltas} == {"delta"} and done["type"] == "done"
                assert "".join(frame["content"] for frame in deltas) == "Hello" == done["message"]["content"]
                assert {"id", "message", "usage", "finish_reason", "route"} <= set(done)
                frames = [start, *deltas, done]
                assert [frame["event_id"] for frame in frames] == [f"{start['id']}.{n}" for n in range(len(frames))]
                assert {frame["ref"] for frame in frames} == {ref}

    @holds("| `cancel`", "| `error`", "Two turns under way")
    async def test_turns_are_side_by_side_and_cancelled_one_by_one(self):
        async with self.line("a", HANG) as line:
            await line.send({"type": "chat", "ref": 1, "message": "Hi"})
            await until(line, "delta")
            await line.send({"type": "chat", "ref": 1, "message": "Hi"})
            twice = await line.frame()
            assert (twice["ref"], twice["code"]) == (1, "invalid_request") and "turn_id" not in twice
            await line.send({"type": "chat", "message": "Hi"})  # without a ref
            start = (await until(line, "delta"))[0]
            assert "ref" not in start
            await line.send({"type": "cancel", "turn_id": start["id"]})
            ended = await line.frame()
            assert (ended["type"], ended["code"], ended["turn_id"]) == ("error", "cancelled", start["id"])
            assert {"message", "request_id", "retryable"} <= set(ended)
            await line.send({"type": "cancel", "ref": 1})
            ended = await line.frame()
            assert (ended["ref"], ended["code"]) == (1, "cancelled")
            await line.send({"type": "cancel", "ref": 1})
            assert (await line.frame())["code"] == "turn_not_found"

    @holds("| `ping`", "| `pong`", "The frame `ping` is for clients")
    async def test_a_ping_is_answered_while_a_turn_runs(self):
        async with self.line("a", HANG) as line:
            await line.send({"type": "chat", "ref": 1, "message": "Hi"})
            await until(line, "delta")
            await line.send({"type": "ping", "ref": "p"})
            assert await line.frame() == {"type": "pong", "ref": "p"}
            await line.send({"type": "cancel", "ref": 1})
            await until(line, "error")

    @holds("| `resume`", "| `over`")
    async def test_a_turn_is_resumed_on_another_socket_from_any_event(self):
        async with self.place("a", "b", "c") as place, place.open(protocols=["bearer", place.key]) as line:
            await line.send({"type": "chat", "ref": 1, "message": "Hi"})
            whole = await until(line, "done")
            turn_id = whole[0]["id"]
            async with place.open(protocols=["bearer", place.key]) as other:
                for had in range(len(whole)):
                    last = {"last_event_id": whole[had - 1]["event_id"]} if had else {}
                    await other.send({"type": "resume", "ref": 1, "turn_id": turn_id, **last})
                    assert await until(other, "done", "error") == whole[had:]
                await other.send({"type": "resume", "turn_id": turn_id, "last_event_id": whole[-1]["event_id"]})
                assert await other.frame() == {"type": "over", "turn_id": turn_id}
                for wrong in ("x", uuid.uuid4().hex):
                    await other.send({"type": "resume", "turn_id": wrong})
                    assert (await other.frame())["code"] == "turn_not_found"

    @holds("A frame that is binary", "Every frame is one JSON object")
    async def test_nonsense_is_an_error_and_the_socket_stays(self):
        async with self.line("Hello") as line:
            for said in (b"\x00\xff", b"{}", "", "hello", "[]", "{}", '{"type": 5}', '{"type": "sing"}', '{"ref": {}}'):
                await line.send(said)
                error = await line.frame()
                assert (error["type"], error["code"], error["retryable"]) == ("error", "invalid_request", False)
                assert "turn_id" not in error and "event_id" not in error
            for ref in ("a" * 129, 1.5, [1], True):
                await line.send({"type": "ping", "ref": ref})
                assert (await line.frame())["code"] == "invalid_request"

    # Limits ----------------------------------------------------------------------------------------------------------

    @holds("Eight turns may run")
    async def test_a_ninth_turn_is_refused(self):
        async with self.line("a", HANG) as line:
            for ref in range(9):
                await line.send({"type": "chat", "ref": ref, "message": "Hi"})
            error = (await until(line, "error"))[-1]
            assert (error["ref"], error["code"], error["retryable"]) == (8, "rate_limited", True)
            for ref in range(8):
                await line.send({"type": "cancel", "ref": ref})
            ended = [(await until(line, "error"))[-1] for _ in range(8)]
            assert {(frame["ref"], frame["code"]) for frame in ended} == {(ref, "cancelled") for ref in range(8)}

    @holds("| 1009")
    async def test_a_frame_that_is_too_big_closes(self):
        async with self.line("Hello") as line:
            await line.send({"type": "ping", "x": "x" * (255 * 1024)})
            assert (await line.frame())["type"] == "pong"
            await line.send({"type": "ping", "x": "你" * 90_000})
            assert await code_of(line) == 1009

    @holds("| 4429")
    async def test_a_flood_closes(self):
        async with self.line("Hello") as line:
            for _ in range(40):
                await line.send({"type": "ping"})
            assert await code_of(line) == 4429


class LiveWebSocketSuite(WebSocketSuite):
    """With a server: sessions, other workers, bytes."""

    @holds("| `unwatch`", "| `watching`", "| `turn`")
    async def test_a_watched_session_shows_what_begins_elsewhere(self):
        async with self.place("Hello") as place, place.open(protocols=["bearer", place.key]) as line:
            async with place.open(protocols=["bearer", place.key]) as other:
                await other.send({"type": "chat", "message": "Hi"})
                session_id = (await until(other, "done"))[0]["session_id"]
                await line.send({"type": "watch", "ref": "w", "session_id": session_id})
                assert await line.frame() == {"type": "watching", "ref": "w", "session_id": session_id}
                await other.send({"type": "chat", "message": "Again", "session_id": session_id})
                turn_id = (await until(other, "done"))[0]["id"]
                turn, *rest = await until(line, "done", "error")
                assert (turn["type"], turn["turn_id"], turn["messages"][-1]["content"]) == ("turn", turn_id, "Again"), (
                    turn
                )
                assert {frame["turn_id"] for frame in rest} == {turn_id} and not any("ref" in frame for frame in rest)
                await line.send({"type": "unwatch", "session_id": session_id})
                assert await line.frame() == {"type": "unwatched", "session_id": session_id}

    @holds("| 1008", "Who does not is dropped", "The client connects again")
    async def test_a_slow_reader_is_dropped_and_resumes_byte_for_byte(self):
        async with self.place(*[f"{number:05}" * 3_000 for number in range(1_000)]) as place:  # 15 MB
            async with place.stuck({"type": "chat", "ref": 1, "message": "Hi"}) as stuck:
                await stuck.dropped()  # it has read one frame and then no more
                had, code = await stuck.rest()
            assert code == 1008 and had[0]["type"] == "start" and had[-1]["type"] == "delta"
            async with place.open(protocols=["bearer", place.key]) as line:
                last = had[-1]["event_id"]
                await line.send({"type": "resume", "ref": 1, "turn_id": had[0]["id"], "last_event_id": last})
                had += await until(line, "done", "error")
            assert [frame["event_id"] for frame in had] == [f"{had[0]['id']}.{n}" for n in range(len(had))]
            said = "".join(frame["content"] for frame in had[1:-1])
            assert said == "".join(f"{number:05}" * 3_000 for number in range(1_000)) == had[-1]["message"]["content"]

    @holds("Nothing is compressed")
    async def test_compression_is_not_negotiated(self):
        async with self.place("Hello") as place, place.open(protocols=["bearer", place.key]) as line:
            assert line.extensions == []
