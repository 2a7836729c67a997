"""How log lines look, what they say of whose they are, and that nothing secret or said is in one."""

import asyncio
import json
import logging
import logging.config
import sys
import threading
import warnings
from types import MappingProxyType

import pytest

from access.observing import AccessLog
from clawdbot_site import logs
from clawdbot_site.celery import _begin, _end
from engine import context
from engine.context import CONTEXT
from tests.access.grpc.client import chat, metadata, served
from tests.access.parts import build
from tests.conformance.edges import HI
from tests.engine.parts import ScriptedModel

SECRET, SAID = "hunter2-of-the-settings", "my diagnosis is"
BORDERS = ("engine.ending", "access.errors")


class Kept(logging.Handler):
    """What a handler would write."""

    def __init__(self, form):
        super().__init__()
        self.setFormatter(logs.formatter(form, [SECRET]))
        self.lines = []

    def emit(self, record):
        self.lines.append(self.format(record))

    @property
    def text(self):
        return "\n".join(self.lines)

    @property
    def objects(self):
        return [json.loads(line) for line in self.lines]


@pytest.fixture(params=["text", "json"])
def both(request):
    yield from keeping(request.param)


@pytest.fixture
def kept():
    yield from keeping("json")


def keeping(form):
    handler, root = Kept(form), logging.getLogger()
    level, token = root.level, CONTEXT.set(None)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)
    CONTEXT.reset(token)


log = logging.getLogger("access.test")


def broken():
    kept_here = SAID  # noqa: F841  # a local, which a trace must not show
    raise ValueError(f"invalid: {SAID}")


def test_one_event_is_one_line_whatever_is_in_it(both):
    log.error("a %s\r\nforged ERROR line\x1b[31m\u2028", "b\nc\x00")
    (line,) = both.lines
    assert len(line.splitlines()) == 1 and "\x1b" not in line and "\x00" not in line


def test_a_trace_shows_where_and_not_what(both):
    try:
        broken()
    except ValueError:
        log.exception("it broke on %s", 3)
    (line,) = both.lines
    assert SAID not in line and "ValueError" in line and "tests/clawdbot_site/test_logs.py" in line and "broken" in line
    assert all(part.startswith("    ") for part in line.splitlines()[1:])


def test_a_line_as_an_object(kept):
    context.enter("req-1", "acme", "turn-1")
    log.warning("it is %s", "so")
    (line,) = kept.objects
    assert line.pop("pid") and line.pop("process") and line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "access.test",
        "event": "it is so",
        "request_id": "req-1",
        "tenant": "acme",
        "turn": "turn-1",
    }


def test_causes_are_told_too(kept):
    try:
        try:
            broken()
        except ValueError as error:
            raise OSError(5, "disk") from error
    except OSError:
        log.exception("x")
    first, second = kept.objects[0]["exception"]
    assert first["error"] == "OSError: [Errno 5] disk" and second["error"].startswith("ValueError")
    assert any("broken" in frame for frame in second["frames"])


def test_groups_and_exceptions_as_arguments_are_told_alike(both):
    log.error("%s and %r and %s", ValueError(SAID), KeyError(SAID), [ValueError(SAID)])
    log.error("%(a)s", {"a": ValueError(SAID)})
    log.error(ValueError(SAID))
    log.error("group", exc_info=ExceptionGroup("g", [ValueError(SAID), OSError(5, "disk")]))
    assert SAID not in both.text and "disk" in both.text


def test_secrets_are_taken_out_of_messages_arguments_and_traces(both):
    log.error("%s Bearer %s", SECRET, "abc-def")
    try:
        raise OSError(5, f"redis://:{SECRET}@h and sk-0123456789ab")
    except OSError:
        log.exception("x", extra={"fields": {"about": SECRET}})
    assert not any(secret in both.text for secret in (SECRET, "abc-def", "sk-0123456789ab"))


def test_a_task_is_told_without_what_it_was_given(kept):
    about = {"id": "1", "name": "t", "args": SAID, "exc": SAID, "traceback": SAID, "return_value": SAID}
    logging.getLogger("celery.app.trace").error("%(name)s %(args)s %(exc)s %(traceback)s %(return_value)s", about)
    assert SAID not in kept.text and kept.objects[0]["event"].startswith("t ")


async def test_asyncio_shows_no_results_and_no_exceptions_of_tasks(both):
    async def work():
        raise ValueError(SAID)

    task = asyncio.get_running_loop().create_task(work())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_exception_handler(
        {"message": "Task exception was never retrieved", "exception": task.exception(), "future": task}
    )
    assert SAID not in both.text and "never retrieved" in both.text and "ValueError" in both.text


async def test_a_turn_that_fails_says_whose_it_is_and_nothing_of_it(kept):
    site = build(ScriptedModel([ValueError(SAID)]))
    answer = await site.alice.post("/api/chat", {"message": SAID}, {"X-Request-Id": "req-7"})
    assert answer.status == 500
    told = [line for line in kept.objects if line["logger"] in BORDERS]
    assert {line["logger"] for line in told} == set(BORDERS)
    assert all((line["request_id"], line["tenant"], bool(line["turn"])) == ("req-7", "acme", True) for line in told)
    assert SAID not in kept.text


async def test_turns_of_a_socket_have_their_own_numbers(kept):
    site = build(ScriptedModel([ValueError(SAID)]))
    async with site.alice.socket() as socket:
        await socket.connect()
        for ref in ("a", "b"):
            socket.send({"type": "chat", "ref": ref, "message": SAID})
            await socket.until("error")
    told = [line for line in kept.objects if line["logger"] == "engine.ending"]
    assert len({(line["request_id"], line["turn"]) for line in told}) == 2 and SAID not in kept.text


async def test_the_access_log_has_no_query_and_no_id(kept):
    site = build(ScriptedModel(), observer=AccessLog())
    await site.alice.post("/api/chat?secret=abcdef", {"message": SAID}, {"X-Request-Id": "req-1"})
    await site.stranger.get("/api/turns/0123?ticket=abcdef")
    await site.alice.post("/v1/chat/completions", {"messages": HI})
    await site.stranger.get("/invited/abcdef")
    async with served(site) as (_, channel):
        await chat(channel, b"\x0a\x02Hi", metadata=metadata(site.alice))
    async with site.alice.socket() as socket:
        await socket.connect()
    lines = [line for line in kept.objects if line["logger"] == "clawdbot.access"]
    told = [(line["method"], line["route"], line["status"], line.get("tenant")) for line in lines]
    assert told == [
        ("POST", "/api/chat", 200, "acme"),
        ("GET", "/api/turns/{turn_id}", 401, None),
        ("POST", "/v1/chat/completions", 200, "acme"),
        ("GET", "other", 404, None),
        ("GRPC", "/clawdbot.v1.ChatService/Chat", 200, "acme"),
        ("WEBSOCKET", "/ws/chat", 101, "acme"),
    ]
    assert lines[0]["request_id"] == "req-1" and all(line["ms"] >= 0 for line in lines)
    assert "abcdef" not in kept.text and SAID not in kept.text


def test_a_task_has_its_own_number_and_its_jobs(kept):
    class Task:
        name = "access.tasks.replay_rules"

        @staticmethod
        def run(job_id):
            log.info("at work")

    _begin(task=Task, task_id="t-1", args=(7,))
    Task.run(7)
    _end()
    log.info("idle")
    work, idle = kept.objects
    assert (work["task"], work["job"]) == ("t-1", "7") and "task" not in idle


@pytest.mark.parametrize(("level", "ours", "others"), [("DEBUG", 10, 20), ("INFO", 20, 20), ("ERROR", 40, 40)])
def test_debug_is_for_our_own_lines(level, ours, others):
    """What others say at that level holds queries with parameters, frames and bodies."""
    config = logs.logging_config(level, "text")
    found = {name: logging.getLevelName(each.get("level", "NOTSET")) for name, each in config["loggers"].items()}
    assert logging.getLevelName(config["root"]["level"]) == others
    assert all(found[name] == ours for name in logs.OURS)
    talkative = ("django.db.backends", "aiohttp", "botocore", "urllib3", "asyncio", "websockets", "sqlalchemy", "grpc")
    assert not any(name.startswith(logs.OURS) for name in talkative) and not any(name in found for name in talkative)
    assert found["django"] == others and config["loggers"]["django"]["handlers"] == []


def test_a_collector_that_is_away_is_told_of_once_a_minute(monkeypatch):
    seldom, now = logs.SeldomExports(), [0.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])
    record = logging.makeLogRecord({"name": "opentelemetry.exporter.otlp"})
    told = []
    for now[0] in (100.0, 101.0, 159.0, 161.0):
        told.append(seldom.filter(record))
    assert told == [True, False, False, True]
    assert seldom.filter(logging.makeLogRecord({"name": "access"}))


def test_what_is_wrong_with_a_callers_trace_does_not_keep_that_line_away(monkeypatch):
    seldom = logs.SeldomExports()
    monkeypatch.setattr(logs.time, "monotonic", lambda: 100.0)
    names = ["trace.propagation.tracecontext", "exporter.otlp.proto.http.trace_exporter", "exporter.otlp.proto.http"]
    records = [logging.makeLogRecord({"name": f"opentelemetry.{name}"}) for name in names]
    assert [seldom.filter(record) for record in records] == [False, True, True]


class Unspeakable:
    def __str__(self):
        raise ValueError(SAID)


@pytest.mark.parametrize("said", [("no place", SECRET), ("%d", f"{SECRET}\nforged"), ("%s", Unspeakable())])
def test_a_line_whose_arguments_do_not_fit_is_a_line_all_the_same(both, said):
    """Python's own handlers would print the arguments as they are."""
    fields = {"one": Unspeakable(), "two": (SECRET,)}
    both.handle(logging.makeLogRecord({"name": "access", "msg": said[0], "args": (said[1],), "fields": fields}))
    (line,) = both.lines
    assert len(line.splitlines()) == 1 and "do not fit" in line and SECRET not in line and SAID not in line


def test_a_message_that_cannot_be_said_is_a_line_all_the_same(both):
    both.handle(logging.makeLogRecord({"name": "access", "msg": Unspeakable(), "args": ()}))
    (line,) = both.lines
    assert "(ValueError)" in line and SAID not in line


@pytest.mark.parametrize("form", ["error", "true", "group"])
def test_odd_records_are_lines(both, form):
    class Mute(OSError):
        def __str__(self):
            raise ValueError(SAID)

    found = Mute()
    try:
        try:
            raise ExceptionGroup("one", [found])
        except ExceptionGroup as group:
            raise group.exceptions[0]  # noqa: B904  # so that each is what the other came of
    except Mute as error:
        info = {"error": error, "true": True, "group": (Mute, error, error.__traceback__)}[form]
    about = {"name": "access", "msg": "%(a)s", "args": MappingProxyType({"a": 1}), "exc_info": info, "fields": ["x"]}
    both.handle(logging.makeLogRecord(about))
    (line,) = both.lines
    assert "do not fit" not in line and SAID not in line
    assert line.count("Mute") == line.count("ExceptionGroup") == (0 if form == "true" else 1)


def test_what_is_no_number_of_jsons_is_a_text(kept):
    about = {"name": "access", "msg": "x", "args": (), "fields": {"a": float("nan"), "b": float("inf"), "c": 1.5}}
    kept.handle(logging.makeLogRecord(about))
    said = json.loads(kept.lines[0], parse_constant=lambda name: pytest.fail(name))
    assert (said["a"], said["b"], said["c"]) == ("nan", "inf", 1.5)


def test_what_python_would_write_by_itself_is_a_line(kept, monkeypatch):
    for place, name in ((sys, "excepthook"), (threading, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(place, name, getattr(place, name))
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    logs.take_over()
    try:
        broken_thread = threading.Thread(target=broken, name="t")
        broken_thread.start()
        broken_thread.join()
        sys.excepthook(*_raised())
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(False)
            logging.captureWarnings(True)
            warnings.warn("old\nway", stacklevel=1)
    finally:
        logging.captureWarnings(False)
    thread, process, warning = kept.objects
    assert (thread["event"], process["event"]) == ("the thread t ends", "the process ends")
    assert "old\nway" in warning["event"] and warning["logger"] == "py.warnings" and SAID not in kept.text


def _raised():
    try:
        broken()
    except ValueError:
        return sys.exc_info()
