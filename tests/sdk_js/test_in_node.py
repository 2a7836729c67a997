"""The SDK as it is built, in Node, against the product: over WebSocket and HTTP, over a network that breaks."""

import pytest

from tests.adapters.upstream import Upstream, by_stream, events, streamed, whole
from tests.product.running import Product, until
from tests.sdk_js.conftest import TEXT, WORDS, Script, asked, ended, is_whole, turns
from tests.sdk_js.network import Network

TRANSPORTS = pytest.mark.parametrize("transport", ["socket", "http"])
TURN = """
    const options = given.transport === "http" ? { WebSocket: null } : {};
    const it = new Clawdbot({ baseUrl: given.url, token: given.key, ...options });
    const list = await all(it.chat({ message: "Hi" }));
    it.close();
    return list;
"""


@TRANSPORTS
def test_it_answers_byte_for_byte(script: Script, upstream: Upstream, product: Product, transport: str):
    happened = script.run(TURN, transport=transport)
    is_whole(happened)
    assert [turn["id"] for turn in turns(product, happened[0]["session_id"])] == [happened[0]["id"]]


@TRANSPORTS
@pytest.mark.parametrize("at", [400, 1500, 4000])
def test_a_network_cut_in_the_middle_changes_nothing(
    script: Script, upstream: Upstream, product: Product, network: Network, transport: str, at: int
):
    network.cut_after(at, back_in=0.7)
    happened = script.run(TURN, transport=transport)
    is_whole(happened)
    assert (network.cuts, asked(upstream), len(turns(product, happened[0]["session_id"]))) == (1, 1, 1)


@TRANSPORTS
def test_nor_one_that_breaks_again_and_again(
    script: Script, upstream: Upstream, product: Product, network: Network, transport: str
):
    network.every = 2_000
    happened = script.run(TURN, transport=transport)
    is_whole(happened)
    assert network.cuts >= 3
    assert (asked(upstream), len(turns(product, happened[0]["session_id"]))) == (1, 1)


@TRANSPORTS
def test_a_cut_before_the_answer_begins_asks_nobody_twice(
    script: Script, upstream: Upstream, product: Product, network: Network, transport: str
):
    slow = streamed(events(*WORDS), 0.02)
    upstream.answers(whole("whole"), [slow[0], 3.0, *slow[1:]], choose=by_stream)
    process = script.start(TURN, transport=transport)
    until(lambda: asked(upstream), "the model is asked")
    network.cut()
    network.restore()
    happened = ended(process)
    is_whole(happened)
    assert "replayed" not in happened[0]  # it was read as it came
    assert (asked(upstream), len(turns(product, happened[0]["session_id"]))) == (1, 1)


def test_a_link_that_went_silent_is_given_up(script: Script, upstream: Upstream, network: Network):
    process = script.start("return all(client.chat({ message: 'Hi' }));", heartbeat=500)
    until(lambda: asked(upstream), "the model is asked")
    network.silence()
    until(lambda: network.connections > 1, "it connects again")
    network.restore()
    is_whole(ended(process))
    assert asked(upstream) == 1


def test_what_is_asked_without_a_network_waits_for_it(
    script: Script, upstream: Upstream, product: Product, network: Network
):
    network.cut()
    process = script.start("""
        const list = ["one", "two", "three"].map((message) => client.chat({ message }));
        return Promise.all(list.map(all));
    """)
    with pytest.raises(AssertionError):
        until(lambda: asked(upstream), "nothing is asked", 1.5)
    network.restore()
    for happened in ended(process):
        is_whole(happened)
    assert asked(upstream) == 3


def test_cancel_stops_the_model(script: Script, upstream: Upstream, product: Product):
    error = script.run("""
        const turn = client.chat({ message: "Hi" });
        for await (const event of turn) if (event.type === "delta") break;
        turn.cancel();
        return failure(turn.done);
    """)
    assert error["code"] == "cancelled"
    with product.http() as http:
        until(lambda: http.get(f"/api/turns/{error['turnId']}").json()["state"] == "cancelled", "it is recorded")


def test_a_signal_cancels(script: Script, upstream: Upstream):
    error = script.run("""
        const control = new AbortController();
        const turn = client.chat({ message: "Hi" }, { signal: control.signal });
        turn.id.then(() => control.abort());
        return failure(turn.text());
    """)
    assert error["code"] == "cancelled"


def test_more_than_eight_at_once_wait(script: Script, upstream: Upstream):
    upstream.answers(whole("whole"), streamed(events(*WORDS), 0.005), choose=by_stream)
    texts = script.run("""
        return Promise.all(Array.from({ length: 20 }, () => client.chat({ message: "Hi" }).text()));
    """)
    assert texts == [TEXT] * 20


def test_a_turn_can_be_read_again_from_anywhere(script: Script, upstream: Upstream):
    first, again, rest, end = script.run("""
        const first = await all(client.chat({ message: "Hi" }));
        const { id } = first[0];
        const from = (place) => all(client.resume(id, first.at(place).event_id));
        return [first, await all(client.resume(id)), await from(9), await from(-1)];
    """)
    is_whole(first)
    assert (again, rest, end) == (first, first[10:], first[-1:])


def test_two_screens_see_each_other(script: Script, upstream: Upstream):
    shared, happened, mine = script.run("""
        const begun = await client.chat({ message: "Hi" }).done;
        const { session_id } = (await client.turn(begun.id)).intent;
        const other = new Clawdbot({ baseUrl: given.url, token: given.key });
        const heard = [];
        await other.watch(session_id, (turn) => heard.push(turn));
        const mine = await all(client.chat({ message: "And?", session_id }));
        const [{ turn, ...shared }] = heard;
        const theirs = await all(turn);
        other.close();
        return [shared, theirs, mine];
    """)
    is_whole(happened)
    assert happened == mine
    assert (shared["turn_id"], shared["messages"][-1]["content"]) == (mine[0]["id"], "And?")


def test_sessions_are_kept_named_branched_and_put_back(script: Script, upstream: Upstream):
    upstream.answers(whole("whole"), streamed(events("Hello"), 0.001), choose=by_stream)
    value = script.run("""
        const events = await all(client.chat({ message: "Hi" }));
        const { session_id } = events[0];
        const { sessions } = client;
        const snapshot = await sessions.snapshots(session_id).make({ name: "before", tags: ["a"] });
        await sessions.update(session_id, { name: "Greeting" });
        await client.chat({ message: "More", session_id }).done;
        const [page, changed] = [await sessions.list({ limit: 50 }), await sessions.read(session_id)];
        const diff = await sessions.diff(session_id, { from: snapshot.id });
        const past = await sessions.version(session_id, snapshot.id);
        const branch = await sessions.branch(session_id, { snapshot: snapshot.id });
        const stale = await failure(sessions.restore(session_id, { snapshot: snapshot.id, if_version: 1 }));
        const back = await sessions.restore(session_id, { snapshot: snapshot.id, if_version: changed.version });
        const { versions } = await sessions.versions(session_id);
        const { snapshots } = await sessions.snapshots(session_id).list();
        const tagged = await sessions.snapshots(session_id).update(snapshot.id, { tags: ["b"] });
        const gone = [await sessions.delete(branch.session_id), await failure(sessions.read(branch.session_id))];
        const decision = (await client.turn(events[0].id)).decision;
        const [models, explained] = [await client.models(), await client.explain({ message: "Hi" })];
        const length = (session) => session.context_stack.length;
        return {
            listed: page.sessions.find((line) => line.session_id === session_id).name,
            lengths: [changed, past, branch, back].map(length),
            added: diff.messages.added_total,
            stale: stale.code,
            actions: versions.map((line) => line.action),
            snapshots: snapshots.map((line) => line.name),
            tags: tagged.tags,
            gone: gone[1].code,
            instance: decision.instance,
            models: models.data.map((model) => model.id),
            explained: explained.model,
        };
    """)
    assert value == {
        "listed": "Greeting",
        "lengths": [4, 2, 2, 2],
        "added": 2,
        "stale": "conflict",
        "actions": ["restored", "turn", "patched", "turn"],
        "snapshots": ["before"],
        "tags": ["b"],
        "gone": "session_not_found",
        "instance": "scripted",
        "models": ["auto", "scripted"],
        "explained": "scripted",
    }


def test_a_key_that_is_none_is_told_so(script: Script):
    wrong, late = script.run("""
        const stranger = new Clawdbot({ baseUrl: given.url, token: "cb_nobody" });
        return [await failure(stranger.chat({ message: "Hi" }).done), await failure(stranger.sessions.list())];
    """)
    assert (wrong["code"], wrong["status"], late["code"]) == ("unauthenticated", 401, "unauthenticated")


def test_a_key_that_is_revoked_ends_its_turns(script: Script, upstream: Upstream, product: Product):
    product.operate("tenant = Tenant.objects.get(); key, secret = services.create_api_key(tenant=tenant, name='sdk')")
    process = script.start(
        "return failure(client.chat({ message: 'Hi' }).done);", key=product.operate("value = secret")
    )
    until(lambda: asked(upstream), "the model is asked")
    product.operate("services.revoke_api_key(key=key)")
    assert ended(process)["code"] in ("unauthenticated", "cancelled")  # of its turn, or of the next connection


def test_a_visitor_comes_back_to_their_conversations(script: Script, upstream: Upstream, product: Product):
    product.operate("tenant = Tenant.objects.get(); ChatSite(tenant=tenant, visitors='anyone').save()")
    slug = product.operate("value = tenant.slug")
    with product.http(key="") as http:
        wanted = [201] * 6  # of either worker
        until(lambda: [http.post("/api/visitors", json={"tenant": slug}).status_code for _ in wanted] == wanted, "open")
    value = script.run(
        """
        const shelf = new Map();
        const store = { getItem: (key) => shelf.get(key) ?? null, setItem: (key, value) => void shelf.set(key, value) };
        const visit = (store) => {
            const token = Clawdbot.visitor({ baseUrl: given.url, tenant: given.slug, store });
            return [new Clawdbot({ baseUrl: given.url, token }), token];
        };
        const sessions = async (client) => (await client.sessions.list()).sessions.map((line) => line.session_id);
        const [first, token] = visit(store);
        const happened = await all(first.chat({ message: "Hi" }));
        const [again] = visit(store);
        await token(true);
        const [renewed, [stranger]] = [await sessions(first), visit(null)];
        const seen = [await sessions(again), renewed, await sessions(stranger)];
        const nosy = await failure(stranger.resume(happened[0].id).done);
        for (const each of [first, again, stranger]) each.close();
        return { happened, seen, lasts: token.expires - Date.now() > 0, nosy: nosy.code };
        """,
        slug=slug,
    )
    is_whole(value["happened"])
    session_id = value["happened"][0]["session_id"]
    assert (value["seen"], value["lasts"], value["nosy"]) == ([[session_id], [session_id], []], True, "turn_not_found")


def test_a_tenant_that_takes_no_visitors_says_so(script: Script):
    error = script.run("""
        const token = Clawdbot.visitor({ baseUrl: given.url, tenant: "nobody", store: null });
        const visitor = new Clawdbot({ baseUrl: given.url, token });
        return failure(visitor.chat({ message: "Hi" }).done);
    """)
    assert error["status"] == 403
