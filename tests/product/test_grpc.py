"""The gRPC server as the product runs it: the same sessions as over HTTP, nothing of anybody else's; its own life."""

import os
import signal
import socket
import threading

import grpc
import pytest

from access.edges.grpc.generated import chat_pb2 as pb
from access.edges.grpc.service import SERVICE
from tests.adapters.upstream import Upstream, by_stream, events, streamed, whole
from tests.product.running import Product, one_line, until
from tests.product.upstreams import ANSWER, upstream_in_thread

QUICK = {"LOCAL_MODEL": "off"}


@pytest.fixture(scope="module")
def cast(gateway: Product) -> dict[str, str]:
    """Keys: Alice's and Bob's of one tenant, Charlie's of another."""
    gateway.operate(
        "north = services.create_tenant(slug='north', name='North')\n"
        "south = services.create_tenant(slug='south', name='South')\n"
    )
    keys = {
        name: gateway.operate(f"value = services.create_api_key(tenant={tenant}, name='{name}')[1]")
        for name, tenant in (("alice", "north"), ("bob", "north"), ("charlie", "south"))
    }
    until(lambda: {gateway.ask(key=key).status_code for key in keys.values() for _ in range(3)} == {200}, "keys work")
    return keys


@pytest.fixture(scope="module")
def channel(gateway: Product):
    with grpc.insecure_channel(gateway.access["grpc_target"]) as opened:
        yield opened


def metadata(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),)


def chat(channel: grpc.Channel, key: str, text: str = "Hello", **fields) -> pb.ChatResponse:
    method = channel.unary_unary(f"/{SERVICE}/Chat", pb.ChatRequest.SerializeToString, pb.ChatResponse.FromString)
    return method(pb.ChatRequest(message=text, **fields), metadata=metadata(key), timeout=60)


def stream_chat(channel: grpc.Channel, key: str, **fields):
    method = channel.unary_stream(f"/{SERVICE}/StreamChat", pb.ChatRequest.SerializeToString, pb.ChatEvent.FromString)
    return method(pb.ChatRequest(message="Hello", **fields), metadata=metadata(key), timeout=60)


def converse(channel: grpc.Channel, key: str, *frames: pb.ClientFrame) -> list[pb.ServerFrame]:
    method = channel.stream_stream(f"/{SERVICE}/Converse", pb.ClientFrame.SerializeToString, pb.ServerFrame.FromString)
    return list(method(iter(frames), metadata=metadata(key), timeout=60))


def code_of(error: grpc.RpcError) -> str:
    return dict(error.trailing_metadata())["clawdbot-code"]


def test_a_session_is_the_same_over_grpc_and_http(gateway: Product, channel, cast):
    first = chat(channel, cast["alice"])
    assert first.message.content == ANSWER
    second = gateway.ask("And now?", key=cast["alice"], session_id=first.session_id)
    assert second.json()["session_id"] == first.session_id
    third = list(stream_chat(channel, cast["alice"], session_id=first.session_id))
    assert "".join(event.delta.content for event in third) == ANSWER.replace(" ", "", 1)  # as the upstream cuts it
    with gateway.http(cast["alice"]) as client:
        session = client.get(f"/api/sessions/{first.session_id}").json()
        turn = client.get(f"/api/turns/{first.id}").json()
    assert session["version"] == 3
    assert turn["id"] == first.id


def test_charlie_and_bob_see_nothing_of_alices(channel, cast):
    mine = chat(channel, cast["alice"], "Alice's secret.")
    for person in ("charlie", "bob"):
        key = cast[person]
        with pytest.raises(grpc.RpcError) as refused:
            chat(channel, key, session_id=mine.session_id)
        assert (refused.value.code(), code_of(refused.value)) == (grpc.StatusCode.NOT_FOUND, "session_not_found")
        with pytest.raises(grpc.RpcError) as refused:
            list(stream_chat(channel, key, session_id=mine.session_id))
        assert code_of(refused.value) == "session_not_found"
        said = converse(
            channel,
            key,
            pb.ClientFrame(ref="1", chat=pb.ChatRequest(message="Hi", session_id=mine.session_id)),
            pb.ClientFrame(ref="2", resume=pb.Resume(turn_id=mine.id)),
            pb.ClientFrame(ref="3", cancel=pb.Cancel(turn_id=mine.id)),
        )
        assert {frame.ref: frame.error.code for frame in said} == {
            "1": "session_not_found",
            "2": "turn_not_found",
            "3": "turn_not_found",
        }
    assert [frame.WhichOneof("kind") for frame in converse(channel, cast["alice"], resume(mine.id))][-1] == "done"


def resume(turn_id: str) -> pb.ClientFrame:
    return pb.ClientFrame(resume=pb.Resume(turn_id=turn_id))


def test_nobody_without_a_key_is_answered(channel, cast):
    for key in ("", "cb_nobodys"):
        with pytest.raises(grpc.RpcError) as refused:
            chat(channel, key)
        assert (refused.value.code(), code_of(refused.value)) == (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated")


def test_a_conversation_resumes_what_began_over_http(gateway: Product, channel, cast):
    turn = gateway.ask(key=cast["alice"]).json()
    frames = converse(channel, cast["alice"], resume(turn["id"]))
    assert frames[-1].done.message.content == turn["message"]["content"]


def test_who_hangs_up_stops_the_model(gateway: Product, upstream: Upstream, channel, cast):
    upstream.answers(whole("x"), streamed(events(*"abcdefgh"), 1.0), choose=by_stream)
    call = stream_chat(channel, cast["alice"])
    turn_id = next(call).start.id
    call.cancel()
    with gateway.http(cast["alice"]) as client:
        until(lambda: client.get(f"/api/turns/{turn_id}").json()["state"] == "cancelled", "the turn is cancelled")


# Its own life ---------------------------------------------------------------------------------------------------------


def test_it_comes_back_after_kill_9_and_the_journal_balances(tmp_path):
    with upstream_in_thread() as model:
        model.answers(whole("x"), streamed(events(*"abcdefghij"), 0.02), choose=by_stream)
        with Product(tmp_path / "var", MODEL_ENDPOINT=model.url).up() as product:
            target, answered, cut = product.access["grpc_target"], [], []
            with grpc.insecure_channel(target) as channel:
                over = threading.Event()

                def ask() -> None:
                    while not over.is_set():
                        try:
                            answered.append(list(stream_chat(channel, product.key))[-1].done.id)
                        except grpc.RpcError:
                            cut.append(1)
                            over.wait(0.05)

                askers = [threading.Thread(target=ask) for _ in range(8)]
                for asker in askers:
                    asker.start()
                until(lambda: len(answered) > 16, "calls are answered")
                first = product.child("gRPC server")
                os.kill(first, signal.SIGKILL)
                until(lambda: product.child("gRPC server") not in (0, first), "another server")
                before = len(answered)
                until(lambda: len(answered) > before + 16, "calls are answered again")
                over.set()
                for asker in askers:
                    asker.join()
            assert cut, "nothing was running when the server died: the test says nothing"
            assert len(set(answered)) == len(answered)
            with product.http() as client:
                states = {client.get(f"/api/turns/{turn}").json()["state"] for turn in answered[-30:]}
            assert states == {"completed"}
            until(lambda: product.manage("audit", "balance").returncode == 0, "the journal balances")


def test_it_says_in_one_line_that_the_port_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with Product(tmp_path / "var", **QUICK, GRPC_PORT=port) as product:
            product.launch()
            assert product.wait(60) == 1
            assert one_line(product.said()).startswith(f"CommandError: Port {port} on 127.0.0.1 is taken")
            assert "GRPC_PORT=" in product.said()


def test_there_need_be_none(tmp_path):
    with Product(tmp_path / "var", **QUICK, GRPC_PORT="0").up() as product:
        assert product.access["grpc_target"] == ""
        assert product.child("gRPC server") == 0
        assert product.ask().status_code == 200


def test_it_finishes_streams_whatever_asks_it_to_end(tmp_path):
    """SIGHUP, after which the launcher starts the next one, then SIGTERM to the product."""
    with upstream_in_thread() as model:
        words = [f"word{number} " for number in range(20)]
        model.answers(whole("x"), streamed(events(*words), 0.1), choose=by_stream)
        with Product(tmp_path / "var", MODEL_ENDPOINT=model.url).up() as product:
            first = product.child("gRPC server")
            for end in (lambda: os.kill(first, signal.SIGHUP), lambda: product.send(signal.SIGTERM)):
                with grpc.insecure_channel(
                    product.access["grpc_target"], [("grpc.use_local_subchannel_pool", 1)]
                ) as channel:
                    grpc.channel_ready_future(channel).result(60)
                    call = stream_chat(channel, product.key)
                    assert next(call).WhichOneof("kind") == "start"
                    end()
                    assert list(call)[-1].done.message.content == "".join(words)
                until(lambda: product.child("gRPC server") != first, "it has ended")
            assert product.wait() == 0
        assert product.processes() == []
