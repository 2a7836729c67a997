"""The sequencer as a process: killed at any moment, in two, asked to stop; and the loop that calls its duties."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from compliance.tree.database import tree_database
from compliance.tree.folding import NotLeading
from compliance.tree.sequencing import Duty, sequence
from tests.compliance.tree.test_folding import folded
from tests.compliance.tree.trees import KEY, SIGNER

WRITER = """
import asyncio, django
django.setup()
from compliance.journal.opening import open_journal
from tests.compliance.journals import completion, intent, sealer

async def client(writer, tenant):
    while True:
        asked = intent(tenant_id=tenant)
        await writer.intent(asked)
        await writer.completion(completion(asked))

writer = open_journal(sealer())

async def main():
    await writer.start()
    print("writes", flush=True)
    await asyncio.gather(*(client(writer, 1 + number % 3) for number in range(12)))

asyncio.run(main())
"""


@pytest.fixture
def start(tree, tmp_path):
    """`start("sequencer")` or `start(script, *arguments)`: a process over the tree's journal, killed after the test."""
    started = []
    environment = {
        **os.environ, "VAR_DIR": str(tmp_path), "JOURNAL_URL": f"sqlite:///{tree.path}", "SIGNING_KEY": KEY,
        "CHECKPOINT_SECONDS": "1", "ENV_FILE": "",
    }  # fmt: skip

    def run(what, *arguments):
        words = ["manage.py", "sequencer"] if what == "sequencer" else ["-c", what, *map(str, arguments)]
        log = open(tmp_path / f"log-{len(started)}", "wb")  # noqa: SIM115  # closed with the process
        process = subprocess.Popen([sys.executable, *words], env=environment, stdout=subprocess.PIPE, stderr=log)
        started.append((process, log))
        process.log = tmp_path / f"log-{len(started) - 1}"
        return process

    yield run
    for process, log in started:
        process.kill()
        process.wait()
        process.stdout.close()
        log.close()


def until(holds, process, seconds=40.0):
    """Waits, and fails with the process's own words."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, process.log.read_text()
        assert process.poll() is None, process.log.read_text()
        time.sleep(0.02)


def size():
    return sum(len(folded(tenant)[1]) for tenant in (1, 2, 3))


def test_it_loses_and_doubles_nothing_when_it_is_killed(tree, start, seeded):
    writers = [start(WRITER) for _ in range(2)]
    for writer in writers:
        assert writer.stdout.readline() == b"writes\n"
    for _ in range(4):
        before, sequencer = size(), start("sequencer")
        until(lambda before=before: size() > before, sequencer)
        time.sleep(seeded.random() * 0.3)
        sequencer.kill()
        sequencer.wait()
    for writer in writers:
        writer.kill()
        writer.wait()
    tree.fold()
    report = tree.verify()
    assert report.findings == []
    assert report.pending == 0
    assert report.entries == report.leaves == size() > 500
    assert report.checkpoints > 3


def test_a_second_one_stands_by_and_takes_over(tree, start):
    tree.write(3)
    first = start("sequencer")
    until(lambda: len(folded()[1]) == 6, first)
    second = start("sequencer")
    until(lambda: b"stands by" in second.log.read_bytes(), second)
    first.kill()
    first.wait()
    tree.write(4)
    until(lambda: len(folded()[1]) == 14, second)
    until(lambda: tree.storage.exists("checkpoints/1/000000000000014.json"), second)
    second.send_signal(signal.SIGTERM)
    assert second.wait(10) == 0
    assert json.loads(second.stdout.read().splitlines()[0])["tenant"] == 1  # its checkpoints
    assert tree.verify(keys=SIGNER.keys).holds


def test_it_stops_when_it_is_asked(start, tree):
    process = start("sequencer")
    until(lambda: b"leading" in process.log.read_bytes(), process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    with tree_database() as alias:
        assert alias != "journal"


def played(*works, rounds=20):
    """The names of duties in the order they were called, until `rounds` pauses."""
    called = []
    left = rounds

    def wait(seconds):
        nonlocal left
        left -= 1
        return left <= 0

    def named(name, work):
        def call():
            called.append(name)
            return work()

        return Duty(name, 0.0, call)

    duties = [named(name, work) for name, work in works]
    sequence(duties, leads=lambda: True, wait=wait)
    return called, duties


def test_it_goes_on_with_the_others_when_one_fails(caplog):
    def fail():
        raise OSError("no disk")

    called, _ = played(("bad", fail), ("good", lambda: False))
    assert called.count("good") > 3
    assert "bad failed" in caplog.text
    assert "no disk" in caplog.text


def test_it_tries_a_failing_duty_less_and_less_often():
    outcomes = iter([OSError(), OSError(), OSError(), None])

    def work():
        outcome = next(outcomes)
        if outcome:
            raise outcome
        return False

    duty, dues = Duty("d", 2.0, work), []
    for _ in range(4):
        duty.run(100.0)
        dues.append(duty.due)
    assert dues == [102.0, 104.0, 108.0, 102.0]


def test_it_calls_a_duty_again_at_once_while_more_waits():
    more = iter([True, True, False])
    duty = Duty("d", 5.0, lambda: next(more))
    for due in (10.0, 10.0, 15.0):
        duty.run(10.0)
        assert duty.due == due


def test_it_gives_up_when_it_no_longer_leads():
    def lost():
        raise NotLeading

    with pytest.raises(NotLeading):
        Duty("d", 1.0, lost).run(0.0)
    calls = iter([True, True, False])
    sequence([Duty("d", 0.0, lambda: False)], leads=lambda: next(calls), wait=lambda seconds: False)
    assert next(calls, None) is None
