"""What processes that answer no turns tell of themselves."""

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from access.metrics import processes, series
from access.metrics.machine import Machine, folder_of
from access.metrics.names import Labels
from access.metrics.series import Book
from access.metrics.snapshot import total
from clawdbot_site import celery
from clawdbot_site.serving import telling
from clawdbot_site.serving.telling import Folding, Occasional, told


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(telling, "folder", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def heard(folder):
    """What another process of the machine hears."""
    machine = Machine(folder, "reader")
    machine.join()
    yield lambda: total(machine.others(), time.time())
    machine.leave()


def test_a_celery_worker_tells_of_its_tasks(heard):
    @celery.app.task(name="tests.add")
    def add(number):
        return 1 / number

    celery._count(sender=SimpleNamespace(hostname="replays@here"))
    try:
        add.apply([1])
        add.apply([2])
        add.apply([0])
    finally:
        celery.leave()
    add.apply([1])  # nobody listens any more
    celery.app.tasks.pop("tests.add")
    found = heard()
    assert found.counts["clawdbot_jobs"] == {("tests.add", "success"): 2, ("tests.add", "failure"): 1}
    assert sum(found.spreads["clawdbot_job_seconds"][("tests.add",)][:-1]) == 3


def test_a_schedule_tells_of_itself(heard, folder):
    celery._tell()
    celery.leave()
    assert (folder_of(folder) / "schedule-0.counts").exists()
    assert heard().gauges["clawdbot_worker_up"] == {}, "it ended well"


def test_who_ends_with_an_error_has_said_its_last_word(heard):
    with pytest.raises(ZeroDivisionError), told("publisher") as book:
        book.counts(telling.f.FOLDED).add(number=3)
        raise ZeroDivisionError
    assert heard().counts["clawdbot_sequencer_folded"] == {(): 3}


def test_the_sequencer_tells_how_far_it_is(monkeypatch):
    now = 100.0
    monkeypatch.setattr(telling.time, "monotonic", lambda: now)
    book = Book(Labels(0, 0))
    folding = Folding(book)
    assert book.gauges()["clawdbot_sequencer_lag_seconds"] == {}
    folding.folded(0)
    now += 5
    folding.folded(4000)
    folding.folded(4000)
    assert book.gauges()["clawdbot_sequencer_lag_seconds"] == {(): 5}
    folding.folded(0)
    assert book.gauges()["clawdbot_sequencer_lag_seconds"] == {(): 0}
    assert book.counted()["clawdbot_sequencer_folded"] == {(): 8000}
    folding.stands_by()
    assert book.gauges()["clawdbot_sequencer_lag_seconds"] == {}


def test_the_launcher_tells_of_programs_without_a_thread(heard):
    program = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    threads = set(os.listdir("/proc/self/task"))
    try:
        occasional = Occasional("launcher", lambda: [processes.of(program.pid, "valkey-0", "valkey")])
        occasional.tell()
        assert set(os.listdir("/proc/self/task")) <= threads
        found = heard().gauges
        assert found["process_resident_memory_bytes"].keys() == {("launcher-0", "launcher"), ("valkey-0", "valkey")}
        assert found["clawdbot_worker_up"] == {("launcher-0",): 1}
        occasional.tell(ended=True)
        assert heard().gauges["clawdbot_worker_up"] == {}
    finally:
        program.communicate()


def test_a_process_that_is_gone_has_no_figures():
    assert processes.of(2**22 + 1, "valkey-0", "valkey") is None
    me = processes.of(os.getpid(), "me-0", "me")
    assert me.cpu > 0 and me.memory > 1 << 20
    assert abs(processes.own("me-0", "me").memory - me.memory) < 64 << 20


def test_what_is_read_in_another_thread_meanwhile_loses_no_task():
    """Read at each line of what the tasks' threads do, as another thread may."""
    book = Book(Labels(0, 0))
    jobs = telling.Jobs(book)
    ended = 600  # more than are counted together elsewhere

    def reading(frame, event, argument):
        if frame.f_code.co_filename != series.__file__:
            return None
        if event == "line":
            sys.settrace(None)
            book.spreads()
            sys.settrace(reading)
        return reading

    before = sys.gettrace()
    sys.settrace(reading)
    try:
        for _ in range(ended):
            jobs.end("1", SimpleNamespace(name="add"), "SUCCESS")
    finally:
        sys.settrace(before)
    assert sum(book.spreads()["clawdbot_job_seconds"][("add",)][:-1]) == ended
