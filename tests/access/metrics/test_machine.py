"""The processes of a machine, here several places in one or forks that are killed."""

import os
import signal
import subprocess
import sys
import time

import pytest

from access.metrics.machine import Machine, Stuck, folder_of, kept
from access.metrics.snapshot import Snapshot, encode, total

LIMITS = {"tenant": 3}
# Joins, tells that it has counted 5, says so, and lives until it is killed.
LIVES = """
import sys, time
from pathlib import Path
from access.metrics.machine import Machine
from access.metrics.snapshot import Snapshot, encode
machine = Machine(Path(sys.argv[1]), "web")
machine.join()
machine.tell(encode(Snapshot(id=machine.id, worker=machine.worker, at=time.time(), counts={"n": {(): 5.0}})))
print(machine.worker, flush=True)
time.sleep(60)
"""


def said(machine, number, **fields):
    values = {"n": {(): float(number)}}
    machine.tell(encode(Snapshot(id=machine.id, worker=machine.worker, at=time.time(), counts=values, **fields)))


def joined(folder, kind="web"):
    machine = Machine(folder, kind)
    machine.join()
    return machine


def counted(reader):
    return total(reader.others(), time.time()).counts.get("n", {}).get((), 0.0)


def workers(reader):
    ups = total(reader.others(), time.time()).gauges["clawdbot_worker_up"]
    return {worker: up for (worker,), up in ups.items()}


@pytest.fixture
def lives(tmp_path):
    """Starts such processes; they are ended whatever happens."""
    started = []

    def start():
        process = subprocess.Popen([sys.executable, "-c", LIVES, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        started.append(process)
        process.worker = process.stdout.readline().strip()
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_it_sums_what_all_processes_of_the_machine_told(tmp_path):
    web, another, grpc = joined(tmp_path), joined(tmp_path), joined(tmp_path, "grpc")
    assert [web.worker, another.worker, grpc.worker] == ["web-0", "web-1", "grpc-0"]
    for machine, number in ((web, 1), (another, 20), (grpc, 300)):
        said(machine, number)
    assert counted(web) == 320 and counted(another) == 301 and counted(grpc) == 21
    assert workers(web) == {"web-1": 1.0, "grpc-0": 1.0}


def test_what_a_killed_process_counted_stays(tmp_path, lives):
    reader, victim = joined(tmp_path, "grpc"), lives()
    assert counted(reader) == 5 and workers(reader) == {"web-0": 1.0}
    victim.kill()
    victim.wait()
    assert counted(reader) == 5 and workers(reader) == {"web-0": 0.0}
    second = lives()
    assert second.worker == victim.worker
    assert counted(reader) == 10 and workers(reader) == {"web-0": 1.0}
    second.kill()
    second.wait()
    third = joined(tmp_path)
    said(third, 1)
    assert counted(reader) == 11


def test_who_comes_takes_the_place_of_one_that_died_before_a_free_one(tmp_path, lives):
    """Else nobody might ever take it, as after a replacement, and it would be missed for ever."""
    reader, replaced, victim = joined(tmp_path, "grpc"), joined(tmp_path), lives()
    said(replaced, 2, ended=True)
    replaced.leave()
    victim.kill()
    victim.wait()
    assert victim.worker == "web-1" and workers(reader) == {"web-1": 0.0}
    assert lives().worker == "web-1" and workers(reader) == {"web-1": 1.0}
    assert lives().worker == "web-0" and counted(reader) == 2 + 5 + 5 + 5


def test_what_is_included_is_not_counted_twice(tmp_path):
    """Whoever takes a place may die before the file there is gone."""
    reader, first = joined(tmp_path, "grpc"), joined(tmp_path)
    said(first, 7)
    last = (folder_of(tmp_path) / "web-0.counts").read_bytes()
    first.leave()
    joined(tmp_path)
    (folder_of(tmp_path) / "web-0.counts").write_bytes(last)
    assert counted(reader) == 7
    joined(tmp_path).leave()
    assert counted(reader) == 7


def test_a_process_that_hangs_is_told_of_and_counts(tmp_path, lives):
    reader, hung = joined(tmp_path, "grpc"), lives()
    os.kill(hung.pid, signal.SIGSTOP)
    assert counted(reader) == 5
    later = total(reader.others(), time.time() + 60)
    assert later.gauges["clawdbot_worker_up"] == {("web-0",): 0.0} and later.counts["n"][()] == 5


def test_a_process_that_ended_well_is_not_missed(tmp_path):
    reader, first = joined(tmp_path, "grpc"), joined(tmp_path)
    said(first, 3, ended=True)
    first.leave()
    assert workers(reader) == {} and counted(reader) == 3


def test_a_later_start_begins_at_zero(tmp_path, lives):
    """Also when the earlier one was killed whole."""
    lives().kill()
    time.sleep(0.1)
    (folder_of(tmp_path) / "names").write_bytes(b'{"tenant":["acme"]}')
    reader = joined(tmp_path, "grpc")
    assert counted(reader) == 0
    assert reader.agree({"tenant": ["b"]}, LIMITS) == {"tenant": ["b"]}


def test_what_is_kept_outlives_all_of_them(tmp_path, lives):
    with kept(tmp_path):
        victim = lives()
        victim.kill()
        victim.wait()
        assert counted(joined(tmp_path, "grpc")) == 5


def test_what_another_version_wrote_is_left_out(tmp_path):
    reader = joined(tmp_path, "grpc")
    (folder_of(tmp_path) / "web-0.counts").write_bytes(b"\x93")
    (folder_of(tmp_path) / "web-1.counts").write_bytes(encode({"id": "x", "worker": "web-1", "counts": 3}))
    assert counted(reader) == 0
    said(joined(tmp_path), 2)
    assert counted(reader) == 2


def test_the_machine_agrees_on_names(tmp_path):
    one, other = joined(tmp_path), joined(tmp_path)
    assert one.agree({"tenant": ["a", "b"]}, LIMITS) == {"tenant": ["a", "b"]}
    assert other.agree({"tenant": ["b", "c", "d"]}, LIMITS) == {"tenant": ["a", "b", "c"]}
    assert one.agree({"tenant": ["d"]}, LIMITS) == {"tenant": ["a", "b", "c"]}


def test_nobody_waits_long_at_a_door_that_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr("access.metrics.machine.PATIENCE", 0.05)
    reader, other = joined(tmp_path, "grpc"), joined(tmp_path)
    said(other, 4)
    with other._door():
        with pytest.raises(Stuck):
            Machine(tmp_path, "web").join()
        assert counted(reader) == 4  # who reads does not come in


def test_each_host_has_its_own_folder(tmp_path):
    old = tmp_path / "a-host-that-is-gone"
    old.mkdir()
    os.utime(old, (0, 0))
    (tmp_path / "another-host").mkdir()
    joined(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["another-host", os.uname().nodename])
