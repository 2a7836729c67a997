import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Socket, all, client, delta, done, failure, fetching, later, start } from "./double";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.restoreAllMocks());

async function opened(options = {}) {
  const c = client(options);
  c.connect();
  await later();
  Socket.last.open();
  return c;
}

/** The socket is gone and the next one open. */
async function reconnected(code = 1006): Promise<Socket> {
  Socket.last.cut(code);
  await later(30_000);
  return Socket.last.open();
}

test("a turn is its events, as often as they are wanted", async () => {
  const c = await opened();
  const turn = c.chat({ message: "Hi", session_id: "s1" });
  const [asked] = Socket.last.of("chat");
  expect(asked).toMatchObject({ ref: 1, message: "Hi", session_id: "s1" });
  expect(asked.idempotency_key).toMatch(/^[\x21-\x7e]{10,255}$/);
  Socket.last.say(start(1), delta(1, 1, "Hel"), delta(1, 2, "lo"), done(1, 3, "Hello"));
  const events = await all(turn);
  expect(events.map((event) => event.type)).toEqual(["start", "delta", "delta", "done"]);
  expect(events[1]).toEqual({ type: "delta", event_id: "t1.1", content: "Hel" });
  expect(await all(turn)).toEqual(events);
  expect([await turn.id, await turn.text(), (await turn.done).finish_reason]).toEqual(["t1", "Hello", "stop"]);
});

test("events come to a reader while they arrive", async () => {
  const c = await opened();
  const reader = c.chat({ message: "Hi" })[Symbol.asyncIterator]();
  const first = reader.next();
  Socket.last.say(start(1));
  expect((await first).value).toMatchObject({ type: "start", session_id: "s1" });
  const second = reader.next();
  await later(1_000);
  Socket.last.say(delta(1, 1, "x"));
  expect((await second).value).toMatchObject({ content: "x" });
});

test("the client's language and user are those of a chat that names none", async () => {
  const c = await opened({ language: "zh-CN", user: "ada" });
  c.chat({ message: "1" });
  c.chat({ message: "2", language: "en", user: "bob" });
  expect(Socket.last.of("chat").map(({ language, user }) => [language, user])).toEqual([["zh-CN", "ada"], ["en", "bob"]]);
});

test("an error ends the turn and says what the gateway said", async () => {
  const c = await opened();
  const turn = c.chat({ message: "Hi" });
  Socket.last.say(start(1), delta(1, 1, "He"), {
    type: "error", ref: 1, event_id: "t1.2", code: "upstream_error", message: "No.", request_id: "r1", retryable: true, turn_id: "t1",
  }); // prettier-ignore
  const had: any[] = [];
  const error = await failure((async () => { for await (const event of turn) had.push(event); })()); // prettier-ignore
  expect(had.length).toBe(2);
  expect(error).toBeInstanceOf(Error);
  expect(error).toMatchObject({ code: "upstream_error", message: "No.", requestId: "r1", retryable: true, turnId: "t1" });
  expect(await failure(turn.done)).toBe(error);
  expect(await failure(turn.text())).toBe(error);
});

test("a cut in the middle neither loses nor doubles a piece", async () => {
  const c = await opened();
  const turn = c.chat({ message: "Hi" });
  Socket.last.say(start(1), delta(1, 1, "a"), delta(1, 2, "b"));
  const socket = await reconnected();
  expect(socket.sent[0]).toEqual({ type: "resume", turn_id: "t1", last_event_id: "t1.2", ref: 1 });
  socket.say(delta(1, 2, "b"), delta(1, 3, "c"), done(1, 4, "abc"));
  expect((await all(turn)).map((event) => event.content ?? event.type)).toEqual(["start", "a", "b", "c", "done"]);
});

test("a chat that was cut off before its start is asked again under the same key", async () => {
  const c = await opened();
  c.chat({ message: "Hi" });
  const [first] = Socket.last.of("chat");
  const socket = await reconnected();
  expect(socket.of("chat")).toEqual([first]);
});

test("what was heard before the cut is resumed, not asked twice", async () => {
  const c = await opened();
  const turn = c.chat({ message: "Hi" });
  const socket = await reconnected();
  socket.say({ type: "error", ref: 1, code: "idempotency_running", message: "", retryable: true, running: "t9" });
  expect(socket.of("resume")).toEqual([{ type: "resume", turn_id: "t9", ref: 1 }]);
  socket.say(start(1, "t9"), done(1, 1, "x", "t9"));
  expect([await turn.id, await turn.text()]).toEqual(["t9", "x"]);
});

test("while nobody knows which turn answers, it asks once a second", async () => {
  const c = await opened();
  const turn = c.chat({ message: "Hi" });
  const running = { type: "error", ref: 1, code: "idempotency_running", message: "", retryable: true };
  Socket.last.say(running);
  await later(999);
  expect(Socket.last.of("chat").length).toBe(1);
  await later(1);
  expect(Socket.last.of("chat").length).toBe(2);
  Socket.last.say(start(1), done(1, 1, "x"));
  expect(await turn.text()).toBe("x");
});

test("a pause does not outlive its socket", async () => {
  const c = await opened();
  c.chat({ message: "Hi" });
  Socket.last.say({ type: "error", ref: 1, code: "idempotency_running", message: "", retryable: true });
  Socket.last.cut();
  await later(500);
  Socket.last.open();
  await later(5_000);
  expect(Socket.last.of("chat").length).toBe(1);
});

test("of a stream only the journal knows, the missing piece is told before the end", async () => {
  const c = await opened();
  const turn = c.chat({ message: "Hi" });
  Socket.last.say(start(1), delta(1, 1, "Hel"));
  (await reconnected()).say(done(1, 999999999, "Hello"));
  const events = await all(turn);
  expect(events.map((event) => event.content).join("")).toBe("Hello");
  expect(events.map((event) => event.type)).toEqual(["start", "delta", "delta", "done"]);
});

test("a failed attempt to resume is made again, the turn's own error is its end", async () => {
  const c = await opened();
  const turn = c.resume("t1", "t1.4");
  Socket.last.say({ type: "error", ref: 1, code: "store_unavailable", message: "", retryable: true });
  await later(1_000);
  expect(Socket.last.of("resume").length).toBe(2);
  Socket.last.say({ type: "error", ref: 1, event_id: "t1.5", code: "upstream_error", message: "", retryable: true });
  await later(5_000);
  expect(Socket.last.of("resume").length).toBe(2);
  expect((await failure(turn.done)).code).toBe("upstream_error");
});

test("who had the last event is given the end all the same", async () => {
  const c = await opened();
  const turn = c.resume("t1", "t1.2");
  Socket.last.say({ type: "over", ref: 1, turn_id: "t1" });
  expect(Socket.last.of("resume")[1]).toEqual({ type: "resume", turn_id: "t1", ref: 1 });
  Socket.last.say(start(1), delta(1, 1, "x"), done(1, 2, "x"));
  expect((await all(turn)).map((event) => event.type)).toEqual(["done"]);
});

test("a turn without any event is an error, not a loop", async () => {
  const c = await opened();
  const turn = c.resume("t1");
  Socket.last.say({ type: "over", ref: 1, turn_id: "t1" });
  expect((await failure(turn.done)).code).toBe("turn_not_found");
  expect(Socket.last.of("resume").length).toBe(1);
});

test("eight run at once, the others wait in their order", async () => {
  const c = await opened();
  for (let number = 1; number <= 10; number++) c.chat({ message: `${number}` });
  expect(Socket.last.of("chat").map(({ ref }) => ref)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  Socket.last.say(start(3), done(3, 1, "x"));
  expect(Socket.last.of("chat").map(({ ref }) => ref).slice(8)).toEqual([9]);
});

test("chats that are sent while there is no connection wait for it, so many and no more", async () => {
  const c = client({ maxQueue: 3 });
  const turns = [1, 2, 3, 4].map((number) => c.chat({ message: `${number}` }));
  expect(await failure(turns[3]!.done)).toMatchObject({ code: "queue_full", retryable: true });
  await later();
  Socket.last.open();
  expect(Socket.last.of("chat").map(({ message }) => message)).toEqual(["1", "2", "3"]);
});

test("what is asked is what was asked when it was", async () => {
  const c = client();
  const messages = [{ role: "user" as const, content: "Hi" }];
  c.chat({ messages });
  messages.push({ role: "user", content: "changed" });
  await later();
  expect(Socket.last.open().of("chat")[0].messages).toEqual([{ role: "user", content: "Hi" }]);
});

test("frames are sixteen a second at most", async () => {
  const c = await opened();
  for (let session = 0; session < 40; session++) void c.watch(`s${session}`, () => {});
  expect(Socket.last.sent.length).toBe(16);
  await later(1_000);
  expect(Socket.last.sent.length).toBe(32);
  await later(1_000);
  expect(Socket.last.sent.length).toBe(40);
});

test("cancel asks the gateway, whose answer is the end", async () => {
  const c = await opened();
  const [early, late] = [c.chat({ message: "1" }), c.chat({ message: "2" })];
  Socket.last.say(start(2, "t2"));
  early.cancel();
  early.cancel();
  late.cancel();
  expect(Socket.last.of("cancel")).toEqual([{ type: "cancel", ref: 1 }, { type: "cancel", turn_id: "t2" }]);
  Socket.last.say({ type: "error", ref: 1, event_id: "t1.0", code: "cancelled", message: "", turn_id: "t1" });
  expect(await failure(early.done)).toMatchObject({ code: "cancelled", turnId: "t1" });
});

test("a turn that was done before its cancel arrived is done", async () => {
  const c = await opened();
  const turn = c.chat({ message: "1" });
  Socket.last.say(start(1));
  turn.cancel();
  Socket.last.say(done(1, 1, "x"));
  await later(10_000);
  expect(await turn.text()).toBe("x");
});

test("a cancel that nobody answers ends the turn, and is told again", async () => {
  const { calls, fetch } = fetching(() => new Error("away"));
  const c = await opened({ fetch });
  const turn = c.chat({ message: "1" });
  Socket.last.say(start(1));
  turn.cancel();
  await later(3_000);
  expect((await failure(turn.done)).code).toBe("cancelled");
  expect(calls.map(({ path }) => path)).toEqual(["/api/turns/t1/cancel"]);
  await reconnected();
  expect(calls.filter(({ path }) => path === "/api/turns/t1/cancel").length).toBe(2);
});

test("what waits is cancelled without a word", async () => {
  const c = client();
  const control = new AbortController();
  const turn = c.chat({ message: "1" }, { signal: control.signal });
  control.abort();
  expect((await failure(turn.done)).code).toBe("cancelled");
  expect((await failure(turn.id)).code).toBe("cancelled");
  const late = c.chat({ message: "2" }, { signal: control.signal });
  expect((await failure(late.done)).code).toBe("cancelled");
  await later();
  expect(Socket.last.open().sent).toEqual([]);
});

test("turns that begin elsewhere are shown, and go on after a cut", async () => {
  const c = await opened({ user: "ada" });
  const heard: any[] = [], told: any[] = []; // prettier-ignore
  const watching = c.watch("s1", (shared) => heard.push(shared));
  c.on("turn", (shared) => told.push(shared));
  expect(Socket.last.sent).toEqual([{ type: "watch", session_id: "s1", user: "ada", ref: 1 }]);
  Socket.last.say({ type: "watching", ref: 1, session_id: "s1" });
  await watching;
  const messages = [{ role: "user", content: "Hi" }];
  Socket.last.say({ type: "turn", turn_id: "t7", session_id: "s1", messages });
  Socket.last.say({ ...start(undefined, "t7"), turn_id: "t7" }, { ...delta(undefined, 1, "a", "t7"), turn_id: "t7" });
  expect(heard).toEqual(told);
  expect(heard[0]).toMatchObject({ turn_id: "t7", session_id: "s1", messages });
  const socket = await reconnected();
  expect(socket.sent.map(({ type }) => type)).toEqual(["resume", "watch"]);
  const [resume] = socket.of("resume");
  expect(resume).toMatchObject({ turn_id: "t7", last_event_id: "t7.1" });
  socket.say(done(resume.ref, 2, "ab", "t7"));
  expect((await all(heard[0].turn)).map(({ type }) => type)).toEqual(["start", "delta", "done"]);
  c.unwatch("s1");
  expect(socket.of("unwatch")[0]).toMatchObject({ session_id: "s1", user: "ada" });
});

test("a session that cannot be watched says why, and may be there later", async () => {
  const c = await opened();
  const heard: string[] = [];
  const watching = c.watch("s1", ({ turn_id }) => heard.push(turn_id));
  Socket.last.say({ type: "error", ref: 1, code: "session_not_found", message: "", retryable: false });
  expect((await failure(watching)).code).toBe("session_not_found");
  Socket.last.say({ type: "turn", turn_id: "t7", session_id: "s1", messages: [] });
  expect(heard).toEqual(["t7"]);
  expect((await reconnected()).of("watch")).toEqual([{ type: "watch", session_id: "s1", ref: 1 }]);
});

test("a watch that failed for now is tried again", async () => {
  const c = await opened();
  const watching = c.watch("s1", () => {});
  Socket.last.say({ type: "error", ref: 1, code: "store_unavailable", message: "", retryable: true });
  await later(1_000);
  expect(Socket.last.of("watch").length).toBe(2);
  Socket.last.say({ type: "watching", ref: 1, session_id: "s1" });
  await watching;
});

test("sessions that were used are watched by the next connection, too", async () => {
  const c = await opened();
  for (let number = 1; number <= 10; number++) {
    c.chat({ message: "Hi", user: "ada" });
    Socket.last.say({ ...start(number, `t${number}`), session_id: `s${number}` }, done(number, 1, "x", `t${number}`));
  }
  expect((await reconnected()).of("watch").map(({ session_id, user }) => [session_id, user])).toEqual(
    [3, 4, 5, 6, 7, 8, 9, 10].map((number) => [`s${number}`, "ada"]),
  );
});

test("a gateway that takes nothing now is asked again, so often and no more", async () => {
  const c = await opened();
  const turn = c.chat({ message: "Hi" });
  const busy = { type: "error", ref: 1, code: "overloaded", message: "", retryable: true };
  for (let attempt = 1; attempt <= 10; attempt++) {
    Socket.last.say(busy);
    await later(5_000);
    expect(Socket.last.of("chat").length).toBe(attempt + 1);
  }
  Socket.last.say(busy);
  expect((await failure(turn.done)).code).toBe("overloaded");
});

test("any other refusal is the caller's to judge", async () => {
  const c = await opened();
  const turn = c.chat({ message: "Hi" });
  Socket.last.say({ type: "error", ref: 1, code: "rate_limited", message: "", retryable: true });
  expect(await failure(turn.done)).toMatchObject({ code: "rate_limited", retryable: true });
});

test("a closed client is over", async () => {
  const c = await opened();
  const states: string[] = [];
  c.on("state", (state) => states.push(state));
  const turn = c.chat({ message: "1" });
  c.close();
  expect((await failure(turn.done)).code).toBe("closed");
  expect((await failure(c.chat({ message: "2" }).done)).code).toBe("closed");
  expect([Socket.last.closed, states, c.state]).toEqual([true, ["closed"], "closed"]);
  await later(100_000);
  expect(Socket.all.length).toBe(1);
});
