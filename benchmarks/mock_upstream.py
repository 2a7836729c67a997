"""A mock of an OpenAI-compatible service, as cheap as Python allows: one protocol, canned bytes.

`python -m benchmarks.mock_upstream PORT [--delay SECONDS] [--pace SECONDS]` answers `POST …/chat/completions` with 600
bytes of JSON, or with 32 server-sent chunks when the body asks for a stream: in one write, always the same, or one each
`pace` seconds, other ones for everybody, as models say them (`benchmarks.spoken`).
`GET /count` answers how many completions were asked for: load generators compare it with the answers they got.
`GET /set/DELAY/PACE/CHUNKS` changes both, and how many chunks of the 32 an answer has."""

from __future__ import annotations

import argparse
import asyncio
import json

import orjson
import uvloop

from benchmarks import spoken

CHUNKS = 32
ANSWER_TEXT = "The quick brown fox jumps over the lazy dog near the river bank today. " * 5
_MODEL = "mock"


def _json_answer() -> bytes:
    body = json.dumps(
        {
            "id": "chatcmpl-mock",
            "object": "chat.completion",
            "created": 1700000000,
            "model": _MODEL,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": ANSWER_TEXT[:340]},
                    "finish_reason": "stop",
                    "logprobs": None,
                }
            ],
            "usage": {"prompt_tokens": 70, "completion_tokens": 80, "total_tokens": 150},
        }
    ).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _event(delta: dict, finish: str | None = None) -> bytes:
    chunk = {
        "id": "chatcmpl-mock",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": _MODEL,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}],
    }
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


FIRST, _ = _event({"role": "assistant", "content": "@"}).split(b'"@"')
BEFORE, AFTER = _event({"content": "@"}).split(b'"@"')
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECES = [ANSWER_TEXT[i * 11 : i * 11 + 11] for i in range(CHUNKS)]
USAGE = (
    b'data: {"id":"chatcmpl-mock","object":"chat.completion.chunk","created":1700000000,"model":"mock","choices":[],'
    + (b'"usage":{"prompt_tokens":70,"completion_tokens":80,"total_tokens":150}}\n\n')
)
STREAM = [_chunk(_event({"role": "assistant", "content": PIECES[0]}))]
STREAM += [_chunk(_event({"content": piece})) for piece in PIECES[1:]]
STREAM += [_chunk(_event({}, "stop") + USAGE + b"data: [DONE]\n\n") + b"0\r\n\r\n"]
WHOLE_STREAM = STREAM_HEAD + b"".join(STREAM)
JSON_ANSWER = _json_answer()


def said(number: int, pieces: int = CHUNKS) -> list[bytes]:
    """The events of one answer, other ones for each number, but the last, which are all alike."""
    answers = spoken.answers()
    first, *rest = map(orjson.dumps, answers[number % len(answers)][:pieces])
    return [FIRST + first + AFTER, *(BEFORE + piece + AFTER for piece in rest)]


class Mock(asyncio.Protocol):
    count = 0
    pieces = CHUNKS
    delay = 0.0
    pace = 0.0
    whole = WHOLE_STREAM

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, found, rest = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            length = 0
            lower = head.lower()
            at = lower.find(b"content-length:")
            if at >= 0:
                end = lower.find(b"\r\n", at)
                length = int(head[at + 15 : end if end >= 0 else None])
            if len(rest) < length:
                return
            self.buffer = rest[length:]
            self.answer(head, rest[:length])

    def answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET "):
            self.transport.write(_plain(str(_page(head.split(b" ", 2)[1].decode()))))
            return
        Mock.count += 1
        stream = b'"stream":true' in body or b'"stream": true' in body
        if stream and Mock.pace:
            stream = [*map(_chunk, said(Mock.count, Mock.pieces)), STREAM[-1]]
            asyncio.get_running_loop().call_later(Mock.delay, self.paced, stream, 0)
        elif Mock.delay:
            asyncio.get_running_loop().call_later(Mock.delay, self.write, Mock.whole if stream else JSON_ANSWER)
        else:
            self.transport.write(Mock.whole if stream else JSON_ANSWER)

    def write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def paced(self, stream: list[bytes], place: int) -> None:
        """One chunk, and the next one in its time."""
        self.write(STREAM_HEAD + stream[0] if place == 0 else stream[place])
        if place + 1 < len(stream) and not self.transport.is_closing():
            asyncio.get_running_loop().call_later(Mock.pace, self.paced, stream, place + 1)


def _plain(text: str) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


def _page(path: str) -> int:
    """`/count`, and `/set/DELAY/PACE/CHUNKS`, which answers the same."""
    if path.startswith("/set/"):
        Mock.delay, Mock.pace, pieces = map(float, path.removeprefix("/set/").split("/"))
        Mock.pieces = int(pieces)
        Mock.whole = STREAM_HEAD + b"".join([*STREAM[: Mock.pieces], STREAM[-1]])
        if Mock.pace:
            spoken.answers()
    return Mock.count


async def serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Mock, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--pace", type=float, default=0.0)
    options = parser.parse_args()
    Mock.delay, Mock.pace = options.delay, options.pace
    uvloop.run(serve(options.port))


if __name__ == "__main__":
    main()
