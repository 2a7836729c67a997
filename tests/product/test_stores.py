"""The journal or Valkey away under a running product, and many turns at one session: refused, never lost."""

import contextlib
import http.client
import os
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

from tests.adapters.upstream import Upstream
from tests.product.running import Product, chat_on, until


@contextlib.contextmanager
def locked(product: Product):
    """Nobody can write to any file of the journal."""
    with contextlib.ExitStack() as stack:
        for path in (product.folder / "journal").glob("*.sqlite3"):
            database = stack.enter_context(contextlib.closing(sqlite3.connect(path, isolation_level=None)))
            database.execute("PRAGMA busy_timeout = 5000")
            database.execute("BEGIN IMMEDIATE")
        yield


def test_it_answers_nothing_the_journal_cannot_record(gateway: Product, upstream: Upstream):
    with gateway.at_every_worker() as workers:
        with locked(gateway):
            for connection in workers:
                status, answer = chat_on(connection, gateway.key, model="scripted")
                assert (status, answer["error"]["code"]) == (503, "audit_unavailable")
                body = '{"model":"scripted","stream":true,"messages":[{"role":"user","content":"Hello"}]}'
                headers = {"Authorization": f"Bearer {gateway.key}"}
                connection.request("POST", "/v1/chat/completions", body, headers)
                refused = connection.getresponse()
                assert (refused.status, b"audit_unavailable" in refused.read()) == (503, True)
                assert int(refused.headers["retry-after"]) >= 1
        for connection in workers:
            until(lambda c=connection: chat_on(c, gateway.key, model="scripted")[0] == 200, "it records again")
    assert gateway.manage("audit", "balance").returncode == 0


def test_it_keeps_sessions_over_a_kill_of_valkey(gateway: Product, upstream: Upstream):
    """Those from before, and those of turns that were answered while it was away."""
    sessions = [gateway.ask(f"Number {number}.", model="scripted").json()["session_id"] for number in range(5)]
    before = gateway.child("valkey-server")
    os.kill(before, signal.SIGKILL)
    meanwhile = gateway.ask("Number 5.", model="scripted")
    assert meanwhile.status_code == 200, meanwhile.text
    until(lambda: gateway.child("valkey-server") not in (0, before), "Valkey is started again")
    with gateway.at_every_worker() as workers:
        for connection in workers:
            until(lambda c=connection: ready(c), "every worker has its store again")
    with gateway.http() as client:
        for number, session in enumerate([*sessions, meanwhile.json()["session_id"]]):
            path = f"/api/sessions/{session}"
            until(lambda p=path: client.get(p).status_code == 200, "the session is readable")
            assert client.get(path).json()["context_stack"][0]["content"] == f"Number {number}."


def ready(connection: http.client.HTTPConnection) -> bool:
    connection.request("GET", "/readyz")
    answer = connection.getresponse()
    answer.read()
    return answer.status == 200


def test_turns_that_race_on_one_session_are_all_kept(gateway: Product, upstream: Upstream):
    turns = 50
    session = gateway.ask("First.", model="scripted").json()["session_id"]
    with gateway.http() as client, ThreadPoolExecutor(16) as threads:

        def ask(number: int) -> int:
            body = {"message": f"Number {number}.", "session_id": session, "model": "scripted"}
            while (answer := client.post("/api/chat", json=body)).status_code == 409:
                assert answer.json()["error"]["code"] == "session_busy"
                time.sleep(0.05)
            return answer.status_code

        assert set(threads.map(ask, range(turns))) == {200}
        stack = client.get(f"/api/sessions/{session}").json()["context_stack"]
    said = [message["content"] for message in stack]
    assert sorted(said[2::2]) == sorted(f"Number {number}." for number in range(turns))
    assert set(said[1::2]) == {"The scripted answer."}
