"""Turns as spans. Names and attributes after OpenTelemetry's semantic conventions for generative AI; what has no name
there begins with `clawdbot.`. Nothing that anybody said is an attribute of anything.

    POST /api/chat                     the request, or what the caller's `traceparent` says
      turn rest                        admit, session.open, guard.input, plugins.pre, route, journal.completion
        chat gpt-4o                    each call of a model: a retry or a fallback is another one
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Sequence
from contextlib import aclosing
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry import trace
from opentelemetry.context import Context as SpanContext
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from clawdbot_site.telemetry.figures import Figures
from engine.context import CONTEXT
from engine.entries import SkippedHook
from engine.errors import EngineError
from engine.ports import Route
from engine.tracing import Trace, Upstream
from engine.types import ChatRequest, Embedded, End, Principal, Usage, Verdict

OPERATIONS: Final = {"chat": "chat", "embeddings": "embeddings"}
UNREMARKABLE: Final = frozenset({"completed", "cancelled"})  # states of a turn that are no error
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class SpanTracer:
    """`engine.tracing.Tracer`."""

    def __init__(self, tracer: trace.Tracer, figures: Figures, *, upstream: bool) -> None:
        """`upstream`: models' services are told which trace a call belongs to."""
        self.tracer = tracer
        self.figures = figures
        self.upstream = upstream

    def turn(self, principal: Principal, request: ChatRequest, turn_id: str, parent: Trace | None = None) -> Trace:
        if isinstance(parent, TurnSpans):
            above: Span | None = parent.span
        else:
            found = CONTEXT.get()
            above = found.span if found is not None and isinstance(found.span, Span) else None
        served = above is not None and above.is_recording()
        span = self.tracer.start_span(
            f"turn {request.edge}",
            context=under(above),
            kind=SpanKind.INTERNAL if served else SpanKind.SERVER,
            attributes={
                "clawdbot.turn.id": turn_id,
                "clawdbot.request.id": request.request_id,
                "clawdbot.tenant": principal.tenant,
                "clawdbot.edge": request.edge,
                "gen_ai.operation.name": OPERATIONS[request.task],
            },
        )
        return TurnSpans(self, span, request)


class TurnSpans:
    """`engine.tracing.Trace`."""

    def __init__(self, owner: SpanTracer, span: Span, request: ChatRequest) -> None:
        self.span = span
        self._owner = owner
        self._request = request
        self._began = time.monotonic()
        self._step: Span | None = None
        self._failure: BaseException | None = None
        self._over = False

    def step(self, name: str) -> None:
        self._end_step()
        if not self._over:
            self._step = self._owner.tracer.start_span(name, context=under(self.span))

    def _end_step(self) -> None:
        step, self._step = self._step, None
        if step is not None:
            step.end()

    def event(self, name: str) -> None:
        self.span.add_event(name)

    def call(self, route: Route, upstream: Upstream) -> Upstream:
        return self._followed(route, upstream)

    async def _followed(self, route: Route, upstream: Upstream) -> Upstream:
        call = CallSpan(self._owner, self, route, self._request)
        failure: BaseException | None = None
        try:
            async with aclosing(upstream):
                async for event in upstream:
                    if type(event) is End:
                        call.answered(event)
                    yield event
        except BaseException as error:
            failure = error
            raise
        finally:
            call.end(failure)

    async def embed(self, route: Route, work: Awaitable[Embedded]) -> Embedded:
        call = CallSpan(self._owner, self, route, self._request)
        failure: BaseException | None = None
        try:
            embedded = await work
            call.answered(End({}, embedded.usage))
            return embedded
        except BaseException as error:
            failure = error
            raise
        finally:
            call.end(failure)

    def called(self) -> None:
        """A model is called now: whatever led to it is over."""
        self._end_step()

    def failed(self, error: BaseException) -> None:
        self._failure = error

    def end(
        self,
        *,
        state: str,
        session_id: str | None,
        route: Route | None,
        source: str,
        usage: Usage,
        ttft: float | None,
        verdicts: Sequence[Verdict],
        skipped: Sequence[SkippedHook],
    ) -> None:
        if self._over:
            return
        self._over = True
        self._end_step()
        span, kind = self.span, ""
        about: dict[str, Any] = {"clawdbot.state": state, "clawdbot.source": source}
        if session_id is not None:
            about["gen_ai.conversation.id"] = session_id
        if route is not None:
            # Only now: the name that the caller asked for is any text at all until there is such a model.
            about |= {"gen_ai.request.model": route.model, "clawdbot.instance": route.instance.name}
            about |= _counted(usage)
        if state not in UNREMARKABLE:
            kind = error_type(self._failure) if self._failure is not None else state
            about["error.type"] = kind
            span.set_status(Status(StatusCode.ERROR))
        for verdict in verdicts:
            said = {"list": verdict.list, "action": verdict.action, "where": verdict.where}
            span.add_event("guard.hit", {f"clawdbot.guard.{name}": value for name, value in said.items()})
        for hook in skipped:
            said = {"name": hook.plugin, "hook": hook.hook, "reason": hook.reason}
            span.add_event("plugin.skipped", {f"clawdbot.plugin.{name}": value for name, value in said.items()})
        span.set_attributes(about)
        span.end()
        if route is not None:
            labels = _bounded(route, self._request, kind)
            self._owner.figures.served(labels, time.monotonic() - self._began, ttft, usage)


class CallSpan:
    """One call of a model, until its answer is whole or its reader leaves."""

    def __init__(self, owner: SpanTracer, turn: TurnSpans, route: Route, request: ChatRequest) -> None:
        turn.called()
        self._figures = owner.figures
        self._route = route
        self._request = request
        self._began = time.monotonic()
        self._end: End | None = None
        operation = OPERATIONS[request.task]
        self._span = owner.tracer.start_span(
            f"{operation} {route.upstream_model}",
            context=under(turn.span),
            kind=SpanKind.CLIENT,
            attributes={**_labels(route, request), **_parameters(request), "clawdbot.instance": route.instance.name},
        )
        if owner.upstream and (found := CONTEXT.get()) is not None:
            carrier: dict[str, str] = {}
            _PROPAGATOR.inject(carrier, under(self._span))
            found.traceparent = carrier.get("traceparent", "")

    def answered(self, end: End) -> None:
        self._end = end

    def end(self, failure: BaseException | None) -> None:
        """Who leaves after the end was said has missed nothing."""
        span, end, labels = self._span, self._end, _bounded(self._route, self._request)
        if end is not None:
            span.set_attributes(_answer(end))
            if end.model:
                labels["gen_ai.response.model"] = self._figures.answered(self._route.instance.id, end.model)
        elif failure is not None:
            labels["error.type"] = kind = error_type(failure)
            span.set_attribute("error.type", kind)
            span.set_status(Status(StatusCode.ERROR))
        span.end()
        usage = end.usage if end is not None else None
        self._figures.called(labels, time.monotonic() - self._began, usage)


def under(span: Span | None) -> SpanContext:
    """The context of a span's children; without one, a new trace's."""
    return SpanContext() if span is None else trace.set_span_in_context(span, SpanContext())


def caller_of(headers: dict[str, str]) -> Span | None:
    """What the caller's `traceparent` and `tracestate` say; None: nothing that makes sense."""
    span = trace.get_current_span(_PROPAGATOR.extract(headers, SpanContext()))
    return span if span.get_span_context().is_valid else None


def error_type(error: BaseException) -> str:
    return error.code if isinstance(error, EngineError) else type(error).__name__


def _labels(route: Route, request: ChatRequest, error: str = "") -> dict[str, Any]:
    """Of a span; nothing in it is a caller's own choosing but the names of models there are."""
    instance = route.instance
    host, port = _address(instance.endpoint or getattr(getattr(route.adapter, "config", None), "endpoint", ""))
    labels: dict[str, Any] = {
        "gen_ai.operation.name": OPERATIONS[request.task],
        "gen_ai.provider.name": getattr(route.adapter, "provider", "") or instance.adapter,
        "gen_ai.request.model": route.upstream_model,
    }
    if host:
        labels |= {"server.address": host, "server.port": port}
    if error:
        labels["error.type"] = error
    return labels


def _bounded(route: Route, request: ChatRequest, error: str = "") -> dict[str, Any]:
    """The same for figures: behind a wildcard a caller may ask for any name, and each would be a series for ever."""
    labels = _labels(route, request, error)
    labels["gen_ai.request.model"] = route.instance.upstream_model or route.instance.name
    return labels


@lru_cache(maxsize=1024)
def _address(endpoint: str) -> tuple[str, int]:
    try:
        parts = urlsplit(endpoint)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return "", 0


def _parameters(request: ChatRequest) -> dict[str, Any]:
    given = {
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
        "top_p": request.params.get("top_p"),
        "seed": request.params.get("seed"),
    }
    return {f"gen_ai.request.{name}": value for name, value in given.items() if isinstance(value, int | float)}


def _answer(end: End) -> dict[str, Any]:
    about: dict[str, Any] = {}
    if end.finish_reasons:
        about["gen_ai.response.finish_reasons"] = [reason for _, reason in sorted(end.finish_reasons.items())]
    if end.model:
        about["gen_ai.response.model"] = end.model
    if end.usage is not None and not end.usage.estimated:
        about |= _counted(end.usage)
    return about


def _counted(usage: Usage) -> dict[str, Any]:
    counted = {
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
    }
    if usage.cached_tokens:
        counted["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
    return counted
