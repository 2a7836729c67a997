import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { all, client, delta, done, failure, fetching, later, refusal, sse, start, type Answer, type Call } from "./double";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.restoreAllMocks());

const WHOLE = [start(1), delta(1, 1, "你"), delta(1, 2, "好"), done(1, 3, "你好")].map(sse);

function over(answer: (call: Call) => Answer | Error | Promise<Answer | Error>, options = {}) {
  const { calls, fetch } = fetching(answer);
  return { calls, c: client({ WebSocket: null, fetch, ...options }) };
}

/** Cut anywhere, also inside a character. */
function* cuts(text: string, size: number) {
  for (let at = 0; at < text.length; at += size) yield text.slice(at, at + size);
}

test("a chat over HTTP has the same events", async () => {
  const { calls, c } = over(() => ({ pieces: [...cuts(WHOLE.join(""), 7)] }), { language: "zh" });
  const turn = c.chat({ message: "Hi", cache: "no-store" });
  await later();
  expect((await all(turn)).map((event) => event.content ?? event.type)).toEqual(["start", "你", "好", "done"]);
  const [{ method, path, headers, body }] = calls as [Call];
  expect([method, path]).toEqual(["POST", "/api/chat"]);
  expect(body).toMatchObject({ stream: true, message: "Hi", language: "zh" });
  expect(headers).toMatchObject({
    Authorization: "Bearer secret", "Accept-Language": "zh", "Cache-Control": "no-store", "Content-Type": "application/json",
    "Idempotency-Key": body.idempotency_key,
  }); // prettier-ignore
});

test("bytes are cut inside characters", async () => {
  const bytes = new TextEncoder().encode(WHOLE.join(""));
  const reader = (at = 0) => ({ read: async () => (at < bytes.length ? { done: false, value: bytes.slice(at, ++at) } : { done: true }) });
  const fetch: any = async () => ({ ok: true, status: 200, headers: { get: () => null }, body: { getReader: () => reader() } });
  expect(await client({ WebSocket: null, fetch }).chat({ message: "Hi" }).text()).toBe("你好");
});

test("where a body cannot be read in pieces it is read whole", async () => {
  const { c } = over(() => ({ text: WHOLE.join("") }));
  expect(await c.chat({ message: "Hi" }).text()).toBe("你好");
});

test("a stream that is cut goes on where it was", async () => {
  const { calls, c } = over(({ path }) =>
    path === "/api/chat" ? { pieces: [WHOLE[0]!, WHOLE[1]!, new Error("cut")] } : { pieces: WHOLE.slice(2) },
  );
  const turn = c.chat({ message: "Hi" });
  await later(5_000);
  expect((await all(turn)).map((event) => event.content ?? event.type)).toEqual(["start", "你", "好", "done"]);
  expect(calls.map(({ method, path, headers }) => [method, path, headers["Last-Event-ID"]])).toEqual([
    ["POST", "/api/chat", undefined],
    ["GET", "/api/turns/t1/events", "t1.1"],
  ]);
});

test("so does one that simply stops", async () => {
  const { c } = over(({ path }) => (path === "/api/chat" ? { pieces: WHOLE.slice(0, 2) } : { pieces: WHOLE.slice(2) }));
  const turn = c.chat({ message: "Hi" });
  await later(5_000);
  expect(await turn.text()).toBe("你好");
});

test("what got no answer is asked again under the same key", async () => {
  let away = true;
  const { calls, c } = over(() => (away ? new Error("no network") : { pieces: WHOLE }));
  const turn = c.chat({ message: "Hi" });
  await later(10_000);
  expect(c.state).toBe("waiting");
  away = false;
  await later(30_000);
  expect(await turn.text()).toBe("你好");
  expect(new Set(calls.map(({ headers }) => headers["Idempotency-Key"])).size).toBe(1);
});

test("a request that is answered already elsewhere is resumed", async () => {
  const { calls, c } = over(({ path }) =>
    path === "/api/chat" ? refusal(409, "idempotency_running", { retryable: true, running: "t1" }) : { pieces: WHOLE },
  );
  expect(await c.chat({ message: "Hi" }).text()).toBe("你好");
  expect(calls.map(({ path }) => path)).toEqual(["/api/chat", "/api/turns/t1/events"]);
});

test("who had all is sent the end again", async () => {
  const { calls, c } = over(({ headers }) => (headers["Last-Event-ID"] ? { status: 204 } : { pieces: WHOLE }));
  const turn = c.resume("t1", "t1.3");
  expect((await all(turn)).map((event) => event.type)).toEqual(["done"]);
  expect(calls.length).toBe(2);
});

test("a refusal ends the turn and says what was wrong", async () => {
  const { c } = over(() => ({ ...refusal(400, "content_blocked"), headers: { "X-Clawdbot-Decision": "t5" } }));
  expect(await failure(c.chat({ message: "Hi" }).done)).toMatchObject({
    code: "content_blocked", status: 400, requestId: "r1", turnId: "t5", retryable: false,
  }); // prettier-ignore
});

test("an answer that is nobody's of ours is an error with its status", async () => {
  const { c } = over(() => ({ status: 502, text: "<html>" }));
  expect(await failure(c.chat({ message: "Hi" }).done)).toMatchObject({ code: "http_502", status: 502, retryable: true });
  const lost = over(() => new Error("no network"));
  expect(await failure(lost.c.models())).toMatchObject({ code: "network", status: 0, retryable: true });
});

test("four are read at once", async () => {
  const { calls, c } = over(() => new Promise(() => {}));
  for (let number = 0; number < 6; number++) c.chat({ message: "Hi" });
  await later();
  expect(calls.length).toBe(4);
});

test("cancel hangs up and tells the gateway", async () => {
  const { calls, c } = over(({ path }) => (path.endsWith("/cancel") ? { json: {} } : { pieces: [WHOLE[0]!, new Error("left")] }));
  const turn = c.chat({ message: "Hi" });
  await turn.id;
  turn.cancel();
  expect((await failure(turn.done)).code).toBe("cancelled");
  await later(10_000);
  expect(calls.map(({ path }) => path)).toEqual(["/api/chat", "/api/turns/t1/cancel"]);
  expect(calls[0]!.signal.aborted).toBe(true);
});

test("a token that is refused is renewed once", async () => {
  const tokens: string[] = [];
  const { c } = over(
    ({ headers }) => (tokens.push(headers.Authorization!), tokens.length < 2 ? refusal(401, "unauthenticated") : { json: { data: [] } }),
    { token: (renew?: boolean) => (renew ? "new" : "old") },
  );
  expect(await c.models()).toEqual({ data: [] });
  expect(tokens).toEqual(["Bearer old", "Bearer new"]);
  const never = over(() => refusal(401, "unauthenticated"), { token: () => "old" });
  expect((await failure(never.c.models())).status).toBe(401);
  expect(never.calls.length).toBe(2);
  const fixed = over(() => refusal(401, "unauthenticated"));
  await failure(fixed.c.models());
  expect(fixed.calls.length).toBe(1);
});

test("a frame that would be too big goes over HTTP", async () => {
  const { calls, fetch } = fetching(() => ({ pieces: WHOLE }));
  const { Socket } = await import("./double");
  const c = client({ fetch });
  const turn = c.chat({ message: "x".repeat(100_000) });
  await later();
  Socket.last.open();
  expect(await turn.text()).toBe("你好");
  expect([calls.length, Socket.last.sent.length]).toEqual([1, 0]);
});

test("sessions, turns, models and the routing are the addresses of docs/api.md", async () => {
  const { calls, c } = over(({ method }) => (method === "DELETE" ? { status: 204 } : { json: { session_id: "s" } }), { user: "a b" });
  const { sessions } = c;
  await sessions.list({ limit: 5, cursor: "c/1" });
  expect(await sessions.read("s/1")).toEqual({ session_id: "s" });
  await sessions.update("s", { name: "n", if_version: 2 });
  expect(await sessions.delete("s")).toBeUndefined();
  await sessions.versions("s", { limit: 2, before: 9 });
  await sessions.version("s", 3);
  await sessions.diff("s", { from: 1, to: "snap" });
  await sessions.restore("s", { version: 3, if_version: 4 });
  await sessions.branch("s");
  await sessions.branch("s", { snapshot: "p", session_id: "new" });
  const snapshots = sessions.snapshots("s");
  await snapshots.list({ limit: 1 });
  await snapshots.make();
  await snapshots.make({ name: "n", tags: ["t"] });
  await snapshots.read("p");
  await snapshots.update("p", { tags: [] });
  await c.turn("t1");
  await c.explain({ message: "Hi" });
  await c.models();
  expect(calls.map(({ method, path, body }) => [method, path, ...(body ? [body] : [])])).toEqual([
    ["GET", "/api/sessions?limit=5&cursor=c%2F1&user=a%20b"],
    ["GET", "/api/sessions/s%2F1?user=a%20b"],
    ["PATCH", "/api/sessions/s?user=a%20b", { name: "n", if_version: 2 }],
    ["DELETE", "/api/sessions/s?user=a%20b"],
    ["GET", "/api/sessions/s/versions?limit=2&before=9&user=a%20b"],
    ["GET", "/api/sessions/s/versions/3?user=a%20b"],
    ["GET", "/api/sessions/s/diff?from=1&to=snap&user=a%20b"],
    ["POST", "/api/sessions/s/restore?user=a%20b", { version: 3, if_version: 4 }],
    ["POST", "/api/sessions/s/branch?user=a%20b", {}],
    ["POST", "/api/sessions/s/branch?user=a%20b", { snapshot: "p", session_id: "new" }],
    ["GET", "/api/sessions/s/snapshots?limit=1&user=a%20b"],
    ["POST", "/api/sessions/s/snapshots?user=a%20b", {}],
    ["POST", "/api/sessions/s/snapshots?user=a%20b", { name: "n", tags: ["t"] }],
    ["GET", "/api/sessions/s/snapshots/p?user=a%20b"],
    ["PATCH", "/api/sessions/s/snapshots/p?user=a%20b", { tags: [] }],
    ["GET", "/api/turns/t1"],
    ["POST", "/api/route/explain", { message: "Hi" }],
    ["GET", "/v1/models"],
  ]);
});

test("an address that is none is refused at once", () => {
  for (const baseUrl of ["", "gate.example", "ftp://gate.example"]) expect(() => client({ baseUrl })).toThrow(TypeError);
  expect(() => client({ baseUrl: "http://gate.example/" })).not.toThrow();
});
