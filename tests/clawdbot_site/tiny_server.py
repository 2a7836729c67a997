"""A small application behind the real server, run as its own process:
`tiny_server.py WORKERS [header_time [drain_delay [connections]]]`.

Prints `port N`, then `ready` once all workers are."""

import asyncio
import contextlib
import json
import os
import sys

from clawdbot_site.serving.limits import Limits
from clawdbot_site.serving.listening import bind
from clawdbot_site.serving.server import Drain
from clawdbot_site.serving.webserver import serve

EVENTS = 20
FLOOD = 32 << 20
EVENT = 4096
MANY = 4096  # of each of eight writers


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


class Tiny:
    def __init__(self) -> None:
        self.turns = 0
        self.draining = False

    async def startup(self) -> None: ...

    async def shutdown(self) -> None:
        say("shut down")

    async def drain(self, *, replaced: bool = False) -> None:
        self.draining = not replaced
        while self.turns:
            await asyncio.sleep(0.01)

    def retire(self) -> None: ...

    def watch_connections(self, number):
        return lambda outcome: say(outcome)

    def ready(self) -> bool:
        return not self.draining

    async def app(self, scope, receive, send) -> None:
        if scope["type"] == "websocket" and scope["path"] == "/refused":
            await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b"no"})
        elif scope["type"] == "websocket":
            await self.socket(receive, send)
        elif scope["path"] == "/stream":
            await self.stream(send)
        elif scope["path"] == "/flood":
            await self.flood(send)
        elif scope["path"].startswith("/upstream/"):
            await receive()
            reader, writer = await asyncio.open_connection("127.0.0.1", int(scope["path"].split("/")[2]))
            await self.answer(send, 200, await reader.read(100))
            writer.close()
        elif scope["path"] == "/crash":
            os._exit(9)
        else:
            size, more = 0, scope["path"] != "/unread"
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                size, more = size + len(message["body"]), message.get("more_body", False)
            body = {"pid": os.getpid(), "ready": self.ready(), "size": size}
            if scope["path"] == "/headers":
                body["headers"] = [[part.decode("latin-1") for part in field] for field in scope["headers"]]
            await self.answer(send, 200 if self.ready() else 503, json.dumps(body).encode())

    async def answer(self, send, status: int, body: bytes) -> None:
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def stream(self, send) -> None:
        self.turns += 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for number in range(EVENTS):
                await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
                await asyncio.sleep(0.05)
            await send({"type": "http.response.body", "body": b""})
        finally:
            self.turns -= 1

    async def flood(self, send) -> None:
        """More than any buffer holds, in one piece."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * FLOOD})

    async def socket(self, receive, send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                say("socket left", message["code"])
                return
            if message.get("text") == "flood":
                await send({"type": "websocket.send", "bytes": os.urandom(FLOOD)})
                continue
            if message.get("text") == "much":
                writers = [asyncio.create_task(self.write(send, letter)) for letter in "abcdefgh"]
                sent = await asyncio.gather(*writers, return_exceptions=True)
                say("sent", sum(each for each in sent if isinstance(each, int)))
                continue
            if message.get("text", "").startswith("echo"):
                await send({"type": "websocket.send", "text": message["text"]})
                continue
            self.turns += 1
            try:
                for number in range(EVENTS):
                    await send({"type": "websocket.send", "text": str(number)})
                    await asyncio.sleep(0.05)
            finally:
                self.turns -= 1

    async def write(self, send, letter: str) -> int:
        """Many events, as fast as they are taken; how many were."""
        sent = 0
        with contextlib.suppress(OSError):
            for _ in range(MANY):
                await send({"type": "websocket.send", "text": letter * EVENT})
                sent += 1
        return sent


def main() -> None:
    time = float(sys.argv[2]) if len(sys.argv) > 2 else 10.0
    listener = bind("127.0.0.1", 0)
    say("port", listener.getsockname()[1])
    serve(
        Tiny,
        listener,
        workers=int(sys.argv[1]),
        limits=Limits(
            connections=int(sys.argv[4]) if len(sys.argv) > 4 else 20_000,
            header_time=time,
            body_idle=time,
            body_time=4 * time,
            write_idle=time,
            websocket_lag=time,
            websocket_message_time=time,
            ping_interval=4 * time,
            ping_timeout=4 * time,
        ),
        drain=Drain(delay=float(sys.argv[3]) if len(sys.argv) > 3 else 0.5, timeout=10),
        all_ready=lambda: say("ready"),
    )


if __name__ == "__main__":
    main()
