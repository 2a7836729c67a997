"""How the product logs: what Django's LOGGING holds. Programs use `logging` as everywhere; `docs/logs.md`.

One event is one line (`text`) or one JSON object on a line (`json`), with the request, tenant and turn it belongs to
(`engine.context`). Whatever gets into it passes `clawdbot_site.redaction`. LOG_LEVEL=DEBUG is for our own loggers:
what others say at that level holds bodies, frames and parameters of queries.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from clawdbot_site import redaction
from engine.context import CONTEXT

OURS: Final = (
    "access", "adapters", "clawdbot", "clawdbot_site", "compliance", "engine", "plugins", "routing", "sessions_app",
    "tenants",
)  # fmt: skip
ROOT: Final = Path(__file__).resolve().parent.parent
MOST_FRAMES: Final = 40
MOST_CAUSES: Final = 8
OF_CALLERS: Final = "opentelemetry.trace"  # what is read of `traceparent` and `tracestate`
EXPORT_PAUSE: Final = 60.0  # seconds between two lines about traces that could not be sent
_OF_THE_CONTEXT: Final = ("request_id", "tenant", "turn", "task", "job")
_OF_TASKS: Final = frozenset({"args", "kwargs", "exc", "traceback", "return_value"})  # what a task was given and gave

Event = dict[str, Any]

log = logging.getLogger("clawdbot.process")


def logging_config(level: str, form: str, secrets: Iterable[str] = ()) -> dict[str, Any]:
    """Django's LOGGING. `form`: `text` or `json`; `secrets` are never shown, wherever they stand."""
    others = level if level != "DEBUG" else "INFO"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": "clawdbot_site.logs.formatter", "form": form, "secrets": tuple(secrets)}},
        "filters": {"exports": {"()": "clawdbot_site.logs.SeldomExports"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["exports"]}},
        "root": {"handlers": ["stderr"], "level": others},
        "loggers": {
            **{name: {"level": level} for name in OURS},
            # Django's own handlers: one would write another line, the other mails pages with local variables.
            "django": {"handlers": [], "level": others, "propagate": True},
            "django.server": {"handlers": [], "level": "WARNING", "propagate": True},  # it logs query strings
            # Whoever calls the server by another name gets a 400; that is no error of ours to be logged with its trace.
            "django.security.DisallowedHost": {"level": "CRITICAL"},
        },
    }


def formatter(form: str, secrets: Iterable[str] = ()) -> logging.Formatter:
    return _Formatter(_json if form == "json" else _text, redaction.redactor(secrets))


class _Formatter(logging.Formatter):
    """`render` makes a line of the fields of an event, `redact` is applied to every text in them."""

    def __init__(self, render: Callable[[Event], str], redact: Callable[[str], str]) -> None:
        super().__init__()
        self._render = render
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """What a record was given is made harmless before it becomes a text."""
        record = logging.makeLogRecord(record.__dict__)
        args = record.args
        if isinstance(args, Mapping):
            record.args = {
                name: "…" if name in _OF_TASKS and record.name.startswith("celery") else redaction.harmless(value)
                for name, value in args.items()
            }
        elif args:
            record.args = tuple(redaction.harmless(value) for value in args)
        if isinstance(record.msg, BaseException):
            record.msg = redaction.told(record.msg)
        _spare(record)
        return self._render({name: self._clean(value) for name, value in _about(record).items()})

    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._redact(value)
        if isinstance(value, list | tuple):
            return [self._clean(each) for each in value]
        if isinstance(value, dict):
            return {self._redact(str(name)): self._clean(each) for name, each in value.items()}
        if value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
            return value
        return self._redact(redaction.text_of(value))


def _spare(record: logging.LogRecord) -> None:
    """Of others' messages what they would say too much of: asyncio shows the exceptions and results of tasks, Django
    the addresses of requests, in which there may be links that let in whoever has them."""
    if record.name == "asyncio" and isinstance(record.msg, str):
        record.msg = record.msg.partition("\n")[0].partition("<")[0]
    elif record.name.startswith("django.") and isinstance(record.args, tuple):
        request = getattr(record, "request", None)
        path = getattr(request, "path", None)
        if path:
            match = getattr(request, "resolver_match", None)
            shown = f"/{match.route}" if match is not None else f"/{path[1:].partition('/')[0]}/…"
            record.args = tuple(shown if value == path else value for value in record.args)


def _about(record: logging.LogRecord) -> Event:
    found: Event = {
        "timestamp": _timestamp(record.created),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": _message(record),
        "process": process_name(os.getpid()),
        "pid": os.getpid(),
    }
    context = CONTEXT.get()
    if context is not None:
        found.update((name, value) for name in _OF_THE_CONTEXT if (value := getattr(context, name)))
    fields = getattr(record, "fields", None)
    if isinstance(fields, dict):
        found.update(fields)
    error: Any = record.exc_info  # of a record that no logger made the exception itself, or True
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        found["exception"] = described(error)
    return found


def _message(record: logging.LogRecord) -> str:
    """Python would print arguments that do not fit beside the log, over several lines and with all that is in them."""
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 - border: whoever logs may have written anything
        return f"{redaction.text_of(record.msg)} (its arguments do not fit: {type(error).__name__})"


def _timestamp(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"


def described(error: BaseException, seen: set[int] | None = None) -> list[dict[str, Any]]:
    """Each once: who raises the only one of a group anew makes the group what it came of."""
    found: list[dict[str, Any]] = []
    seen = set() if seen is None else seen
    next_one: BaseException | None = error
    while next_one is not None and id(next_one) not in seen and len(found) < MOST_CAUSES:
        seen.add(id(next_one))
        found.append({"error": redaction.told(next_one), "frames": _frames(next_one.__traceback__)})
        if isinstance(next_one, BaseExceptionGroup):
            found += [each for inner in next_one.exceptions[:MOST_CAUSES] for each in described(inner, seen)]
        cause = next_one.__cause__
        next_one = cause if cause is not None or next_one.__suppress_context__ else next_one.__context__
    return found


def _frames(trace: TracebackType | None) -> list[str]:
    """Innermost last."""
    frames = []
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{_short(code.co_filename)}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return frames[-MOST_FRAMES:]


@lru_cache(maxsize=4096)
def _short(file: str) -> str:
    if "site-packages/" in file:
        return file.rpartition("site-packages/")[2]
    path = Path(file)
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


def _json(event: Event) -> str:
    return json.dumps(event)


def _text(event: Event) -> str:
    """`time LEVEL logger: event name=value …`; what follows of an exception is indented."""
    line = redaction.one_line
    head = f"{event.pop('timestamp')} {event.pop('level').upper()} {event.pop('logger')}: {line(event.pop('event'))}"
    errors = event.pop("exception", ())
    about = "".join(f" {name}={line(str(value))}" for name, value in event.items())
    trace = "".join(
        f"\n    Traceback of {line(each['error'])}" + "".join(f"\n      {line(frame)}" for frame in each["frames"])
        for each in errors
    )
    return head + about + trace


class SeldomExports(logging.Filter):
    """A collector that is away is told of once a minute, not with every batch; each of its two ways by itself. What is
    wrong with a caller's headers is nobody's business, and must not keep that line away."""

    def __init__(self) -> None:
        super().__init__()
        self._next: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("opentelemetry"):
            return True
        if record.name.startswith(OF_CALLERS):
            return False
        now = time.monotonic()
        if now < self._next.get(record.name, 0.0):
            return False
        self._next[record.name] = now + EXPORT_PAUSE
        return True


@lru_cache(maxsize=4)
def process_name(pid: int) -> str:
    """What the process is: as the launcher called it, else the command it was started with."""
    name = ""
    try:
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    except OSError:
        pass
    if name and not name.startswith(("python", "celery", "manage")):
        return name
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    known = [word for word in words if word in ("worker", "beat")]
    return known[0] if known else words[0] if words else Path(sys.argv[0]).name


# What Python would write to the terminal by itself -----------------------------------------------------------------


def take_over() -> None:
    """From now on exceptions that nobody caught, and warnings, are log lines too. For programs that serve."""
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable
    logging.captureWarnings(True)
    warnings.formatwarning = _warning


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    log.critical("the process ends", exc_info=(kind, error, trace))


def _uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        name = args.thread.name if args.thread is not None else "?"
        log.error("the thread %s ends", name, exc_info=args.exc_value)


def _unraisable(args: sys.UnraisableHookArgs) -> None:
    if args.exc_value is not None:
        log.error("an exception where none can be raised", exc_info=args.exc_value)


def _warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return f"{_short(filename)}:{lineno}: {category.__name__}: {message}"
