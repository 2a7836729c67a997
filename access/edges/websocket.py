"""`/ws/chat`: many turns on one socket, each a task of its own, so that a frame is heard while others are answered.

In: `chat` (a body of `/api/chat`), `cancel {ref}`, `ping`. Out: `start`, `delta`, `done`, `error`, `pong`, each with
its `type`, the client's `ref` and, if it belongs to a turn, an `event_id`. `docs/websocket.md` is the contract.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import aclosing, suppress
from urllib.parse import parse_qs

import msgspec
import orjson
from channels.consumer import get_handler_name
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer

from access import asgi, bodies, cache_control, errors, events, idempotency_keys, languages, schemas
from access.asgi import Event, RawHeaders, Receive, Scope, Send
from access.authentication import require_scope, with_user
from access.parts import Parts
from access.tickets import CREDENTIALS
from access.turns import Running
from engine.errors import (
    EngineError,
    Forbidden,
    InvalidRequest,
    NotSupported,
    RateLimited,
    TurnNotFound,
    Unauthenticated,
)
from engine.types import ChatRequest, Delta, Done, Json, Principal, Source, Start

MAX_FRAME = 256 * 1024
FRAMES_A_SECOND = 20
TURNS_AT_ONCE = 8
CHECK_EVERY = 0.5  # seconds between two looks at the credential
TOO_BIG, FLOOD = 1009, 4429

Ref = str | int | None


class Allowance:
    """A token bucket: so many at once, and as many again every second."""

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._left = float(rate)
        self._at = time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class ChatConsumer(AsyncWebsocketConsumer):
    """One socket. Turns end with it: a disconnect cancels them."""

    channel_layer_alias = ""  # none: everything of a socket happens in its own process

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self._parts = parts
        self._credential: RawHeaders = []
        self._principal: Principal | None = None
        self._turns: dict[object, tuple[Running, asyncio.Task[None]]] = {}  # by ref; a turn leaves by `_forget`
        self._guard: asyncio.Task[None] | None = None
        self._allowance = Allowance(FRAMES_A_SECOND)
        self._over = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._leave()

    async def dispatch(self, message: Event) -> None:
        """Channels' own hops to a thread at every frame to close database connections; there are none here."""
        await getattr(self, get_handler_name(message))(message)

    # The handshake -----------------------------------------------------------------------------------------------

    async def websocket_connect(self, message: Event) -> None:
        try:
            protocol = await self._find_credential()
            await self._identify()
        except EngineError as error:
            await self._refuse(error)
            raise StopConsumer from None
        await self.accept(protocol)
        self._parts.metrics.sockets.inc()
        self._guard = asyncio.get_running_loop().create_task(self._keep_checking())

    async def _find_credential(self) -> str | None:
        """Header, sub-protocols `bearer, <token>`, or `?ticket=`. Returns the sub-protocol to select."""
        headers: RawHeaders = self.scope["headers"]
        offered = self.scope.get("subprotocols") or []
        if any(name in CREDENTIALS for name, _ in headers):
            self._credential = headers
            return "bearer" if "bearer" in offered else None
        if len(offered) > 1 and offered[0] == "bearer":
            self._credential = [*headers, (b"authorization", b"Bearer " + offered[1].encode("latin-1", "replace"))]
            return "bearer"
        ticket = parse_qs(self.scope.get("query_string", b"").decode("latin-1")).get("ticket")
        if not ticket:
            raise Unauthenticated
        self._credential = [*headers, *await self._parts.tickets.redeem(ticket[0])]
        return None

    async def _identify(self) -> None:
        principal = await self._parts.authenticator.authenticate(self._credential, asgi.peer(self.scope))
        require_scope(principal, "chat")
        self._principal = principal

    async def _refuse(self, error: EngineError) -> None:
        """An HTTP answer in place of the handshake, where the server can (ASGI's denial response)."""
        if "websocket.http.response" not in (self.scope.get("extensions") or {}):
            await self.close(errors.translation(error).close)
            return
        await errors.deny(self.base_send, error, self.scope)

    async def _keep_checking(self) -> None:
        """A credential that is revoked while the socket is open closes it."""
        while True:
            await asyncio.sleep(CHECK_EVERY)
            try:
                await self._identify()
            except (Unauthenticated, Forbidden) as error:
                await self._end(errors.translation(error).close)
                return
            except EngineError:
                continue  # nobody can say right now: what was allowed stays so

    # Frames ------------------------------------------------------------------------------------------------------

    async def websocket_disconnect(self, message: Event) -> None:
        raise StopConsumer

    async def websocket_receive(self, message: Event) -> None:
        if self._over:
            return
        if not self._allowance.take():
            await self._end(FLOOD)
            return
        ref: Ref = None
        frame: Json = {}
        try:
            text = message.get("text")
            if text is None:
                raise InvalidRequest("Frames are JSON text.")
            raw = text.encode("utf-8", "surrogatepass")
            if len(raw) > MAX_FRAME:
                await self._end(TOO_BIG)
                return
            frame = bodies.parse(raw)
            ref = _ref(frame)
            await self._hear(frame, ref)
        except EngineError as error:
            await self._say("error", ref, errors.event(error, os.urandom(16).hex(), self._language(frame)))

    def _language(self, frame: Json) -> str:
        """The one errors are told in: of a frame, else of the handshake."""
        return languages.wanted(frame.get("language"), dict(self.scope["headers"]).get(b"accept-language"))

    async def _hear(self, frame: Json, ref: Ref) -> None:
        match frame.get("type"):
            case "chat":
                self._chat(frame, ref)
            case "cancel":
                self._cancel(ref)
            case "ping":
                await self._say("pong", ref, {})
            case "resume":
                raise NotSupported("A stream cannot be resumed yet.", param="type")
            case _:
                raise InvalidRequest("type must be chat, cancel, resume or ping.", param="type")

    def _chat(self, frame: Json, ref: Ref) -> None:
        assert self._principal is not None
        headers: RawHeaders = self.scope["headers"]
        key_given = schemas.fields(frame, idempotency_keys.KeyField).idempotency_key
        asked = schemas.chat_request(
            frame,
            edge="websocket",
            request_id=os.urandom(16).hex(),
            headers=headers,
            cache=cache_control.frame_wish(schemas.fields(frame, cache_control.CacheField), headers),
            idempotency=key_given or "",
        )
        request = msgspec.structs.replace(asked, stream=True)  # frames are a stream, whatever the body says
        key: object = ref if ref is not None else object()
        if key in self._turns:
            raise InvalidRequest("A turn with this ref is still running.", param="ref")
        if len(self._turns) >= TURNS_AT_ONCE:
            raise RateLimited(f"At most {TURNS_AT_ONCE} turns may run at once on one socket.")
        running = self._parts.running.running(self._principal)
        work = self._answer(key, ref, running, with_user(self._principal, request.user), request)
        self._turns[key] = (running, asyncio.get_running_loop().create_task(work))

    def _cancel(self, ref: Ref) -> None:
        turn = self._turns.get(ref)
        if turn is None:
            raise TurnNotFound(param="ref")
        turn[0].cancel()

    # A turn ------------------------------------------------------------------------------------------------------

    async def _answer(
        self, key: object, ref: Ref, running: Running, principal: Principal, request: ChatRequest
    ) -> None:
        sequence, generation = 0, ""
        source: Source = "model"
        try:
            with running:
                async with aclosing(self._parts.engine.stream(principal, request)) as turn:
                    async for event in turn:
                        if type(event) is Start:
                            generation, source = event.id, event.source
                            running.started(event.id)
                            await self._say("start", ref, events.start(event), f"{generation}.{sequence}")
                        elif type(event) is Delta:
                            await self._say("delta", ref, events.delta(event), f"{generation}.{sequence}")
                        elif type(event) is Done:
                            self._forget(key, running)  # its ref is free again before the client reads this
                            await self._say("done", ref, events.done(event, source), f"{generation}.{sequence}")
                        sequence += 1
        except OSError:
            return  # the reader left in this very moment; the loop of the socket hears of it too
        except Exception as error:  # noqa: BLE001  # the border: everything becomes an event
            self._forget(key, running)
            event_id = f"{generation}.{sequence}" if generation else None
            with suppress(OSError):  # nobody is there to hear it
                told = errors.event(
                    errors.public(error), request.request_id, self._language({"language": request.language})
                )
                await self._say("error", ref, told, event_id)
        finally:
            self._forget(key, running)

    def _forget(self, key: object, running: Running) -> None:
        """Does nothing a second time, when the ref may be another turn's already."""
        turn = self._turns.get(key)
        if turn is not None and turn[0] is running:
            del self._turns[key]

    async def _say(self, kind: str, ref: Ref, body: Json, event_id: str | None = None) -> None:
        if self._over:
            return
        frame: Json = {"type": kind}
        if ref is not None:
            frame["ref"] = ref
        if event_id is not None:
            frame["event_id"] = event_id
        await self.base_send({"type": "websocket.send", "text": orjson.dumps({**frame, **body}).decode()})

    # The end -----------------------------------------------------------------------------------------------------

    async def _end(self, code: int) -> None:
        """Closes from our side; what runs is cancelled first."""
        if self._over:
            return
        self._over = True
        for _, task in self._turns.values():
            task.cancel()
        await self.close(code)

    async def _leave(self) -> None:
        self._over = True
        tasks = [task for _, task in self._turns.values()]
        if self._guard is not None:
            self._parts.metrics.sockets.dec()
            tasks.append(self._guard)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _ref(frame: Json) -> Ref:
    ref = frame.get("ref")
    if ref is None or (isinstance(ref, str) and len(ref) <= 128) or type(ref) is int:
        return ref
    raise InvalidRequest("ref must be a string of at most 128 characters or a whole number.", param="ref")
