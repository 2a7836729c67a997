"""Whose doing the running code is: what log lines and traces say of it. Nothing is decided by it.

An edge enters a context for each request, the engine one for each turn, background work one for each task; what they
start inherits it, as context variables are inherited."""

from __future__ import annotations

from contextvars import ContextVar


class Context:
    """Empty: unknown, or nothing such. `span` belongs to who traces; `traceparent` goes upstream with a model call."""

    __slots__ = ("is_request", "job", "request_id", "span", "task", "tenant", "traceparent", "turn")

    def __init__(self, request_id: str = "", tenant: str = "", turn: str = "", task: str = "", job: str = "") -> None:
        self.request_id = request_id
        self.tenant = tenant
        self.turn = turn
        self.task = task
        self.job = job
        self.is_request = False  # a request's own, which may still get its number and its tenant
        self.span: object = None
        self.traceparent = ""


CONTEXT: ContextVar[Context | None] = ContextVar("clawdbot", default=None)


def begin() -> Context:
    """A request's, of which nothing is known yet; for the task that serves it."""
    context = Context()
    context.is_request = True
    CONTEXT.set(context)
    return context


def belongs_to(tenant: str) -> None:
    """The caller of the running request is known."""
    context = CONTEXT.get()
    if context is not None and context.is_request:
        context.tenant = tenant


def enter(request_id: str = "", tenant: str = "", turn: str = "") -> Context:
    """From now on, for the running task and what it starts. A span that was entered before goes on."""
    before = CONTEXT.get()
    context = Context(request_id, tenant, turn)
    if before is not None:
        context.span = before.span
    CONTEXT.set(context)
    return context
