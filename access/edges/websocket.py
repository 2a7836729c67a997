"""`/ws/chat`: many turns on one socket, each a task of its own, so that a frame is heard while others are answered.

In: `chat` (a body of `/api/chat`), `cancel {ref | turn_id}`, `resume {turn_id, last_event_id}`, `watch {session_id}`,
`unwatch`, `ping`. Out: `start`, `delta`, `done`, `error`, `pong`, each with its `type`, the client's `ref` and, if it
belongs to a turn, an `event_id`; `turn` and then the same with a `turn_id` for turns of a watched session that began
elsewhere. `docs/websocket.md` is the contract.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import Final

import msgspec
import orjson
from channels.consumer import get_handler_name
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer

from access import asgi, bodies, cache_control, errors, frames, idempotency_keys, languages, schemas, watching
from access.asgi import Event, RawHeaders, Receive, Scope, Send
from access.authentication import require_scope, with_user
from access.edges import opening
from access.edges.sockets import Allowance, Ref, Shown, WatchFields, reason_of, ref_in, ref_of, unless_trouble, whose
from access.generations import Generation
from access.parts import Parts
from access.watching import Audience
from engine.context import belongs_to
from engine.errors import EngineError, InvalidRequest, Overloaded, RateLimited, TurnNotFound
from engine.types import Json, Principal

FRAMES: Final = ("chat", "cancel", "resume", "watch", "unwatch", "ping")
MAX_FRAME = 256 * 1024
FRAMES_A_SECOND = 20
TURNS_AT_ONCE = 8
KNOWN: Final = 64  # turns a socket knows that it shows or has shown
SHOWN_AT_ONCE: Final = 16  # turns of watched sessions
LOST: Final = 1005  # closed without a code
TOO_BIG, RESTART, FLOOD = 1009, 1012, 4429


class ChatConsumer(AsyncWebsocketConsumer):
    """One socket. It may leave its turns and come back to them."""

    channel_layer_alias = ""  # none until it watches a session: see `access.watching.Audience`

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self._parts = parts
        self.headers: RawHeaders = []  # the handshake's, and what its ticket or sub-protocol stands for
        self.address: str | None = None
        self._principal: Principal | None = None
        self._turns: dict[object, Shown] = {}  # by ref; a turn leaves by `_forget`
        self._known: dict[str, None] = {}  # turns by id, the last one last
        self._others: set[asyncio.Task[None]] = set()  # which show turns of watched sessions, or join them
        self._audience = Audience(self._heard)
        self._answering = 0
        self._retired = False
        self._code: int | None = None  # it was open, and this is why it is over
        self._allowance = Allowance(FRAMES_A_SECOND)
        self._over = False
        self._closing: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One frame after the other; Channels' own loop makes a task for each."""
        self.scope, self.base_send = scope, send
        self.address = asgi.peer(scope)
        try:
            while True:
                await self.dispatch(await receive())
        except StopConsumer:
            return
        finally:
            await self._leave()

    async def dispatch(self, message: Event) -> None:
        """Channels' own hops to a thread at every frame to close database connections; there are none here."""
        await getattr(self, get_handler_name(message))(message)

    # The handshake -----------------------------------------------------------------------------------------------

    async def websocket_connect(self, message: Event) -> None:
        try:
            self.headers, protocol = await opening.credential(self.scope, self._parts.tickets)
            self.holds(await self._parts.authenticator.authenticate(self.headers, self.address))
            belongs_to(self._caller.tenant)
        except EngineError as error:
            self._parts.metrics.socket_refused(error.code)
            await opening.refuse(self.base_send, error, self.scope)
            raise StopConsumer from None
        await self.accept(protocol)
        self._code = LOST
        self._parts.metrics.sockets.inc()
        self._parts.connections.add(self)

    # What `access.connections` says --------------------------------------------------------------------------------

    def holds(self, principal: Principal) -> None:
        require_scope(principal, "chat", "visit")
        self._principal = principal

    def lost(self, error: EngineError) -> None:
        self._end_soon(errors.translation(error).close)

    def retire(self) -> None:
        self._retired = True
        if not self._answering:
            self._end_soon(RESTART, stop=False)

    # Frames ------------------------------------------------------------------------------------------------------

    async def websocket_disconnect(self, message: Event) -> None:
        if not self._over and self._code is not None:
            self._code = message.get("code", LOST)
            if self._code == FLOOD:
                self._stop()
        raise StopConsumer

    async def websocket_receive(self, message: Event) -> None:
        if self._over:
            return
        if not self._allowance.take():
            await self._end(FLOOD)
            return
        ref: Ref = None
        frame: Json = {}
        raw = b""
        try:
            text = message.get("text")
            if text is None:
                raise InvalidRequest("Frames are JSON text.")
            raw = text.encode("utf-8", "surrogatepass")
            if len(raw) > MAX_FRAME:
                await self._end(TOO_BIG)
                return
            given = bodies.read(raw)
            ref = ref_of(given)  # first: who is refused has to know for what
            bodies.bounded(given, raw)
            frame = given
            await self._hear(frame, ref)
        except EngineError as error:
            if not frame:
                ref = ref_in(raw)
            await self._say("error", ref, errors.event(error, os.urandom(16).hex(), self._language(frame)))

    def _language(self, frame: Json) -> str:
        """The one errors are told in: of a frame, else of the handshake."""
        return languages.wanted(frame.get("language"), dict(self.scope["headers"]).get(b"accept-language"))

    async def _hear(self, frame: Json, ref: Ref) -> None:
        match frame.get("type"):
            case "chat":
                self._chat(frame, ref)
            case "cancel":
                await self._cancel(frame, ref)
            case "resume":
                self._resume(frame, ref)
            case "watch" | "unwatch" as kind:
                await self._watch(frame, ref, kind)
            case "ping":
                await self._say("pong", ref, {})
            case _:
                raise InvalidRequest("type must be chat, cancel, resume, watch, unwatch or ping.", param="type")

    def _chat(self, frame: Json, ref: Ref) -> None:
        self._stay()
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
        key = self._free_key(ref)
        principal = with_user(self._caller, request.user)
        language = self._language({"language": request.language})
        generation = self._parts.generations.begin(principal, request, language)
        shown = Shown(ref, language, request_id=request.request_id, generation=generation)
        self._begin(key, shown, self._answer(key, shown, generation))

    def _begin(self, key: object, shown: Shown, work: Coroutine[object, object, None]) -> None:
        self._turns[key] = shown
        self._answering += 1
        shown.task = asyncio.get_running_loop().create_task(work)
        shown.task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._answering -= 1
        if self._retired and not self._answering:
            self._end_soon(RESTART, stop=False)

    def _stay(self) -> None:
        """Raises Overloaded: nothing is begun on a socket that is about to be closed."""
        if self._retired:
            raise Overloaded("This server is being replaced. Connect again.", retry_after=1)

    def _resume(self, frame: Json, ref: Ref) -> None:
        self._stay()
        turn_id, last = frame.get("turn_id"), frame.get("last_event_id")
        if not isinstance(turn_id, str) or not frames.TURN_ID.match(turn_id):
            raise TurnNotFound(param="turn_id")
        if last is not None and not isinstance(last, str):
            raise InvalidRequest("last_event_id must be a string.", param="last_event_id")
        first = frames.position(turn_id, last)
        key = self._free_key(ref)
        shown = Shown(ref, self._language(frame), request_id=os.urandom(16).hex(), turn_id=turn_id)
        self._begin(key, shown, self._follow(key, shown, first))

    def _free_key(self, ref: Ref) -> object:
        key: object = ref if ref is not None else object()
        if key in self._turns:
            raise InvalidRequest("A turn with this ref is still running.", param="ref")
        if len(self._turns) >= TURNS_AT_ONCE:
            raise RateLimited(f"At most {TURNS_AT_ONCE} turns may run at once on one socket.")
        return key

    async def _cancel(self, frame: Json, ref: Ref) -> None:
        turn_id = frame.get("turn_id")
        if turn_id is None:
            shown = self._turns.get(ref)
            if shown is None:
                raise TurnNotFound(param="ref")
            if shown.generation is not None:
                shown.generation.cancel()
                return
            turn_id = shown.turn_id
        if not isinstance(turn_id, str) or not frames.TURN_ID.match(turn_id):
            raise TurnNotFound(param="turn_id")
        await self._parts.canceller.cancel(self._caller, turn_id)

    async def _watch(self, frame: Json, ref: Ref, kind: str) -> None:
        asked = schemas.fields(frame, WatchFields)
        principal = with_user(self._caller, asked.user)
        name = watching.group(principal, asked.session_id)
        if kind == "watch":
            await self._parts.sessions.read(principal, asked.session_id)
            await self._audience.join(name)
        else:
            await self._audience.leave(name)
        await self._say("watching" if kind == "watch" else "unwatched", ref, {"session_id": asked.session_id})

    @property
    def _caller(self) -> Principal:
        assert self._principal is not None
        return self._principal

    # A turn ------------------------------------------------------------------------------------------------------

    async def _answer(self, key: object, shown: Shown, generation: Generation) -> None:
        """Of one that this socket began."""
        try:
            with generation.reading(None) as reader:
                start = await generation.opened()
                self._know(start.id)
                self._join(generation.principal, start.session_id)
                mine = whose(shown.ref)
                while given := await reader.next(lambda frame: self._send((frame,), mine)):
                    if reader.over:
                        self._forget(key, shown)  # its ref is free again before the client reads this
                    await self._send(given, mine)
        except Exception as error:  # noqa: BLE001  # the border: everything becomes an event
            await self._fail(key, shown, error)
        finally:
            self._forget(key, shown)

    async def _follow(self, key: object, shown: Shown, first: int) -> None:
        """Of one that began before, here or elsewhere."""
        forget = partial(self._forget, key, shown)
        try:
            if not await self._pass_on(shown.turn_id, first, shown.language, whose(shown.ref), forget):
                forget()
                await self._say("over", shown.ref, {"turn_id": shown.turn_id})
        except Exception as error:  # noqa: BLE001  # the border: everything becomes an event
            await self._fail(key, shown, error)
        finally:
            forget()

    async def _fail(self, key: object, shown: Shown, error: Exception) -> None:
        if isinstance(error, OSError):
            return  # the reader left in this very moment; the loop of the socket hears of it too
        self._forget(key, shown)
        with suppress(OSError):  # nobody is there to hear it
            await self._say("error", shown.ref, errors.event(errors.public(error), shown.request_id, shown.language))

    async def _pass_on(
        self, turn_id: str, first: int, language: str, named: bytes, ends: Callable[[], None] = lambda: None
    ) -> bool:
        """Whether there was anything. `ends` is called before the last event is sent."""
        missing = False
        following = self._parts.resuming.follow(self._caller, turn_id, first, language, None)
        async with aclosing(following):
            async for given in following:
                if not missing:
                    missing = True
                    self._know(turn_id)
                if given and frames.is_last(given[-1]):
                    ends()
                await self._send(given, named)
        return missing

    def _forget(self, key: object, shown: Shown) -> None:
        """Does nothing a second time, when the ref may be another turn's already."""
        if self._turns.get(key) is shown:
            del self._turns[key]

    # Watched sessions --------------------------------------------------------------------------------------------

    def _know(self, turn_id: str) -> None:
        self._known[turn_id] = None
        if len(self._known) > KNOWN:
            del self._known[next(iter(self._known))]

    def _join(self, principal: Principal, session_id: str | None) -> None:
        """Who uses a session watches it: in the background, and if it cannot be, then not."""
        if session_id is not None and (name := watching.group(principal, session_id)) not in self._audience:
            self._beside(partial(self._audience.join, name, push=True))

    def _heard(self, session_id: str, turn_id: str) -> None:
        if turn_id in self._known or self._over or len(self._others) >= SHOWN_AT_ONCE:
            return
        self._know(turn_id)
        self._beside(partial(self._show, session_id, turn_id))

    async def _show(self, session_id: str, turn_id: str) -> None:
        """A turn that somebody else began: what is asked, then its events."""
        record = await self._parts.read_turn(self._caller.tenant_id, turn_id)
        if record.intent.subject != self._caller.subject:
            raise TurnNotFound
        asked = msgspec.to_builtins(record.intent.messages)
        await self._say("turn", None, {"turn_id": turn_id, "session_id": session_id, "messages": asked})
        await self._pass_on(turn_id, 0, self._language({}), b'"turn_id":"%b",' % turn_id.encode("ascii"))

    def _beside(self, work: Callable[[], Coroutine[object, object, None]]) -> None:
        task = asyncio.get_running_loop().create_task(unless_trouble(work))
        self._others.add(task)
        task.add_done_callback(self._others.discard)

    # Sending -----------------------------------------------------------------------------------------------------

    async def _send(self, given: Sequence[bytes], named: bytes) -> None:
        for frame in given:
            if self._over:
                return
            await self.base_send({"type": "websocket.send", "text": frames.as_socket(frame, named)})

    async def _say(self, kind: str, ref: Ref, body: Json) -> None:
        if self._over:
            return
        frame: Json = {"type": kind}
        if ref is not None:
            frame["ref"] = ref
        await self.base_send({"type": "websocket.send", "text": orjson.dumps({**frame, **body}).decode()})

    # The end -----------------------------------------------------------------------------------------------------

    def _end_soon(self, code: int, *, stop: bool = True) -> None:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._end(code, stop=stop))

    async def _end(self, code: int, *, stop: bool = True) -> None:
        """Closes from our side; what runs is cancelled first, or (without `stop`) left alone."""
        if self._over:
            return
        self._over = True
        if self._code is not None:
            self._code = code
        if stop:
            self._stop()
        for shown in list(self._turns.values()):
            shown.leave()
        with suppress(OSError):  # it is gone, perhaps because it read nothing
            await self.close(code)

    def _stop(self) -> None:
        for shown in self._turns.values():
            if shown.generation is not None:
                shown.generation.cancel()

    async def _leave(self) -> None:
        self._over = True
        self._parts.connections.remove(self)
        if self._code is not None:
            self._parts.metrics.sockets.dec()
            self._parts.metrics.socket_closed(reason_of(self._code))
        tasks = [shown.task for shown in self._turns.values() if shown.task is not None]
        tasks += self._others
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._audience.close()
