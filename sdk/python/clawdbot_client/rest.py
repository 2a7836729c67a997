"""`/api/chat` and its neighbours over HTTP."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from clawdbot_client import events, sse
from clawdbot_client.asking import Asked, body
from clawdbot_client.backoff import Backoff
from clawdbot_client.errors import ClawdbotError, Disconnected, answered
from clawdbot_client.events import Answer, Done, Event, Json
from clawdbot_client.sessions import Sessions

SILENCE = 300.0  # seconds a stream may say nothing


class Client:
    """`credential` is an API key or a JWT. `http` is used in place of a client of our own, and stays its owner's."""

    def __init__(
        self,
        base_url: str,
        credential: str,
        *,
        timeout: float = 60.0,
        language: str | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {credential}"}
        if language is not None:
            self._headers["Accept-Language"] = language
        self._owned = http is None
        self._http = http or httpx.AsyncClient(timeout=timeout)
        self.sessions = Sessions(self._call)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        if self._owned:
            await self._http.aclose()

    # Chat --------------------------------------------------------------------------------------------------------

    async def chat(self, asked: Asked, *, idempotency_key: str | None = None, **fields: Any) -> Answer:
        """A whole answer. `fields` are those of `/api/chat` (`session_id`, `model`, `temperature`, `tools`, …). Sent
        again with the same `idempotency_key`, the same answer comes back. Raises ClawdbotError."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key is not None else None
        return events.answer(await self._call("POST", "/api/chat", json=body(asked, fields), headers=headers))

    async def stream(
        self, asked: Asked, *, idempotency_key: str | None = None, **fields: Any
    ) -> AsyncGenerator[Event, None]:
        """`Start`, any number of `Delta`, `Done`. A connection that breaks is made again, and the stream goes on where
        it was: by the turn's id once that is known, before that by asking again with the same idempotency key. Whoever
        stops to read early should `cancel` the turn, which goes on for a while. Raises ClawdbotError."""
        place = _Place()
        backoff = Backoff()
        chat = body(asked, {**fields, "stream": True})
        key = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        while True:
            request = (
                self._http.build_request("POST", self._url("/api/chat"), json=chat, headers={**self._headers, **key})
                if place.turn_id is None
                else self._resumption(place.turn_id, place.event_id)
            )
            try:
                async with aclosing(self._events(request, place)) as given:
                    async for event in given:
                        backoff.heard()
                        yield event
                if place.over:
                    return
                reason: Exception = Disconnected("The stream ended before its last event.")
            except httpx.TransportError as error:
                reason = error
            except ClawdbotError as error:
                running = error.code == "idempotency_running"  # the same turn, asked for a moment ago
                if not running and not (place.broken and _passes(error, place)):
                    raise
                reason = error
            place.broken = True
            if not await backoff.pause():
                raise Disconnected(f"The stream broke: {reason}") from reason

    async def events(self, turn_id: str, last_event_id: str | None = None) -> AsyncGenerator[Event, None]:
        """The events of a turn after the given one (without it: all), then the live ones. Nothing: it is over, and the
        given one was its last. Raises ClawdbotError."""
        place = _Place(turn_id, last_event_id)
        backoff = Backoff()
        while not place.over:
            try:
                async with aclosing(self._events(self._resumption(turn_id, place.event_id), place)) as given:
                    async for event in given:
                        backoff.heard()
                        yield event
                reason: Exception = Disconnected("The stream ended before its last event.")
            except httpx.TransportError as error:
                reason = error
            except ClawdbotError as error:
                if not place.broken or not _passes(error, place):
                    raise
                reason = error
            place.broken = True
            if not place.over and not await backoff.pause():
                raise Disconnected(f"The stream broke: {reason}") from reason

    async def turn(self, turn_id: str) -> Json:
        """The record of a turn: who answered, why that one, what became of it."""
        record: Json = await self._call("GET", f"/api/turns/{quote(turn_id, safe='')}")
        return record

    async def cancel(self, turn_id: str) -> None:
        """Stops a turn and its call to the model, wherever it runs."""
        await self._call("POST", f"/api/turns/{quote(turn_id, safe='')}/cancel")

    async def ticket(self) -> str:
        """Opens one WebSocket within a minute: for browsers, which should hold no key."""
        made: Json = await self._call("POST", "/api/ws-ticket")
        return str(made["ticket"])

    # HTTP --------------------------------------------------------------------------------------------------------

    def _url(self, path: str) -> str:
        return f"{self._base_url}{path}"

    def _resumption(self, turn_id: str, last: str | None) -> httpx.Request:
        headers = {**self._headers, **({"Last-Event-ID": last} if last else {})}
        return self._http.build_request(
            "GET", self._url(f"/api/turns/{quote(turn_id, safe='')}/events"), headers=headers
        )

    async def _call(
        self,
        method: str,
        path: str,
        *,
        json: Json | None = None,
        params: Json | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """The object answered; None: there is none. Raises ClawdbotError, Disconnected."""
        try:
            response = await self._http.request(
                method, self._url(path), json=json, params=params, headers={**self._headers, **(headers or {})}
            )
        except httpx.TransportError as error:
            raise Disconnected(str(error) or type(error).__name__) from error
        if response.status_code >= 400:
            raise _refused(response)
        return response.json() if response.content else None

    async def _events(self, request: httpx.Request, place: _Place) -> AsyncGenerator[Event, None]:
        async with _sent(self._http, request) as response:
            if response.status_code >= 400:
                await response.aread()
                raise _refused(response)
            if response.status_code == 204:
                place.over = True
                return
            async for sent in sse.parsed(response.aiter_bytes()):
                place.event_id = sent.id or place.event_id
                place.over = sent.name in ("done", "error")
                event = events.event(sent.name, sent.data, sent.id or None)
                if isinstance(event, events.Start):
                    place.turn_id = event.id
                if event is not None:
                    yield event
                if isinstance(event, Done):
                    return


class _Place:
    """How far a stream was read, and whether its connection was lost."""

    __slots__ = ("broken", "event_id", "over", "turn_id")

    def __init__(self, turn_id: str | None = None, event_id: str | None = None) -> None:
        self.turn_id = turn_id
        self.event_id = event_id
        self.over = False
        self.broken = False


@asynccontextmanager
async def _sent(http: httpx.AsyncClient, request: httpx.Request) -> AsyncIterator[httpx.Response]:
    timeout = request.extensions.get("timeout")
    if isinstance(timeout, dict):
        request.extensions = {**request.extensions, "timeout": {**timeout, "read": SILENCE}}
    response = await http.send(request, stream=True)
    try:
        yield response
    finally:
        await response.aclose()


def _passes(error: ClawdbotError, place: _Place) -> bool:
    """Nothing of the turn: whoever is asked for the rest is not there for the moment, as while it restarts."""
    return not place.over and (error.retryable or error.status in (502, 503, 504))


def _refused(response: httpx.Response) -> ClawdbotError:
    try:
        said = response.json()
    except ValueError:
        said = None
    return answered(response.status_code, said, response.headers)
