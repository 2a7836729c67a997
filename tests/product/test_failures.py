"""The model's service away, slow or wrong: what callers are told, and that nothing is half-written."""

import pytest

from benchmarks.journal_kill import journalled, keys_in
from clawdbot_site.selftest.ports import free_port
from tests.adapters.upstream import CUT, HANG, Upstream, by_stream, chunk, error, head_of_stream, streamed, whole
from tests.product.running import Product, chat_on, events_of, until

SCRIPTED = "scripted"  # by name: `auto` would fall back to another instance


def told(response) -> tuple[int, str]:
    """Status and code; the one error shape is checked on the way."""
    body = response.json()["error"]
    assert set(body) - {"param"} == {"code", "message", "request_id", "retryable"}
    assert body["request_id"] == response.headers["x-request-id"]
    return response.status_code, body["code"]


@pytest.fixture(autouse=True)
def _recovered(gateway: Product, upstream: Upstream):
    """What a test did to the instance is over before the next one: pauses and cool-downs, in each worker."""
    yield
    upstream.answers(whole("Fine again."))
    with gateway.at_every_worker() as workers:
        for connection in workers:
            until(
                lambda connection=connection: chat_on(connection, gateway.key, model=SCRIPTED)[0] == 200,
                "it answers again",
            )


@pytest.fixture(scope="module")
def elsewhere(gateway: Product):
    """The model `away`: nobody listens there."""
    gateway.operate(
        f"save_instance(instance=ModelInstance(name='away', endpoint='http://127.0.0.1:{free_port()}/v1',"
        " allow_private=True))"
    )
    with gateway.at_every_worker() as workers:
        for connection in workers:
            until(
                lambda connection=connection: chat_on(connection, gateway.key, model="away")[0] != 404,
                "the model is known",
            )
    yield "away"
    gateway.operate("ModelInstance.objects.everywhere().get(name='away').delete()")


def test_it_says_bad_gateway_when_the_service_is_away(gateway, elsewhere):
    refused = gateway.ask(model=elsewhere)
    assert told(refused) == (502, "upstream_error")
    assert "127.0.0.1" not in refused.text
    with gateway.http() as client:
        body = {"model": elsewhere, "messages": [{"role": "user", "content": "Hello"}]}
        openai = client.post("/v1/chat/completions", json=body)
    assert openai.status_code == 502
    assert openai.json()["error"]["code"] == "upstream_error"


def test_auto_falls_back_to_an_instance_that_answers(gateway, elsewhere, upstream):
    assert [gateway.ask().status_code for _ in range(6)] == [200] * 6


def test_it_says_gateway_timeout_after_model_timeout(gateway, upstream: Upstream):
    upstream.answers([HANG])
    refused = gateway.ask(model=SCRIPTED)
    assert told(refused) == (504, "upstream_timeout")
    assert 2.5 < refused.elapsed.total_seconds() < 30  # MODEL_TIMEOUT is 3, and would be 30


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (error(500), 502, "upstream_error"),
        (error(401, "bad key upstream-secret"), 502, "upstream_error"),
        (error(404), 502, "upstream_error"),
        (error(400, "too hot"), 400, "upstream_rejected"),
        (error(429, retry_after="1"), 429, "upstream_rate_limited"),
        ([b"nonsense\r\n\r\n", CUT], 502, "upstream_error"),
        ([whole("Hello")[0][:-20], CUT], 502, "upstream_error"),
    ],
    ids=["500", "401", "404", "400", "429", "nonsense", "cut"],
)
def test_it_translates_what_the_service_says(gateway, upstream: Upstream, answer, status, code):
    upstream.answers(answer)
    refused = gateway.ask(model=SCRIPTED)
    assert told(refused) == (status, code)
    assert "upstream-secret" not in refused.text


def test_a_stream_that_breaks_ends_with_an_error_that_may_be_retried(gateway, upstream: Upstream):
    broken = [head_of_stream(), chunk({"role": "assistant", "content": "Half of "}), CUT]
    upstream.answers(whole("whole"), broken, choose=by_stream)
    events = events_of(gateway.ask(model=SCRIPTED, stream=True).text)
    assert [event for _, event, _ in events] == ["start", "delta", "error"]
    _, _, failure = events[-1]
    assert (failure["code"], failure["retryable"]) == ("upstream_error", True)
    with gateway.http() as client:
        turn = client.get(f"/api/turns/{events[0][2]['id']}").json()
        assert turn["state"] == "failed"
        session = client.get(f"/api/sessions/{events[0][2]['session_id']}")
        assert session.status_code == 404  # nothing half-written
        body = {"model": SCRIPTED, "messages": [{"role": "user", "content": "Hello"}], "stream": True}
        text = client.post("/v1/chat/completions", json=body).text
    assert "[DONE]" not in text
    assert '"code":"upstream_error"' in text.replace(" ", "")


def test_a_failed_turn_leaves_its_session_as_it_was(gateway, upstream: Upstream):
    session = gateway.ask("First.", model=SCRIPTED).json()["session_id"]
    upstream.answers(error(500))
    assert gateway.ask("Second.", session_id=session, model=SCRIPTED).status_code == 502
    with gateway.http() as client:
        stack = client.get(f"/api/sessions/{session}").json()["context_stack"]
    assert [message["content"] for message in stack] == ["First.", "The scripted answer."]


def test_a_reader_that_leaves_frees_the_service(gateway, upstream: Upstream):
    slow = streamed([chunk({"role": "assistant", "content": "word "})] * 200, 0.05)
    upstream.answers(whole("whole"), slow, choose=by_stream)
    left = [what for what, _ in upstream.log].count("left")
    body = {"model": SCRIPTED, "messages": [{"role": "user", "content": "Hello"}], "stream": True}
    with gateway.http() as client, client.stream("POST", "/v1/chat/completions", json=body) as response:
        turn = response.headers["x-clawdbot-decision"]
        next(response.iter_lines())
    until(lambda: [what for what, _ in upstream.log].count("left") > left, "the call is given up")
    with gateway.http() as client:
        until(lambda: client.get(f"/api/turns/{turn}").json()["state"] == "cancelled", "the journal says so")


def test_two_workers_keep_every_entry_of_the_journal(gateway, upstream: Upstream):
    """A file a worker, and one journal to its readers."""
    marks = []
    with gateway.at_every_worker() as workers:
        for connection in workers:
            for _ in range(10):
                mark = f"ledger-{len(marks):032x}"
                marks.append((mark, chat_on(connection, gateway.key, model=SCRIPTED, message=f"Say {mark}")[1]["id"]))
        files = list((gateway.folder / "journal").glob("*.sqlite3"))
        found, _ = journalled(gateway.folder / "journal" / "journal.sqlite3", keys_in(gateway.folder))
        assert len(files) >= 2
        assert {mark: (found[mark].turn_id, found[mark].state) for mark, _ in marks} == {
            mark: (turn, "completed") for mark, turn in marks
        }
        for connection in workers:  # each reads what the other wrote
            for _, turn in marks[::5]:
                connection.request("GET", f"/api/turns/{turn}", headers={"Authorization": f"Bearer {gateway.key}"})
                response = connection.getresponse()
                response.read()
                assert response.status == 200
    balance = gateway.manage("audit", "balance")
    assert balance.returncode == 0, balance.stdout + balance.stderr
