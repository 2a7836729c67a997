import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Clawdbot } from "../src/index";
import { Socket, client, done, failure, fetching, later, refusal, start } from "./double";

const TICKET = { json: { ticket: "x", expires_in: 60 } };

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

function watched(options = {}) {
  const c = client(options);
  const states: string[] = [];
  c.on("state", (state) => states.push(state));
  return { c, states };
}

async function opened(options = {}) {
  const given = watched(options);
  given.c.connect();
  await later();
  Socket.last.open();
  return given;
}

test("it connects when there is something to say, with the token as a sub-protocol", async () => {
  const { c, states } = watched({ token: async () => "fresh" });
  expect([Socket.all.length, c.state]).toEqual([0, "idle"]);
  c.chat({ message: "Hi" });
  await later();
  expect([Socket.last.url, Socket.last.protocols]).toEqual(["wss://gate.example/ws/chat", ["bearer", "fresh"]]);
  Socket.last.open();
  expect(states).toEqual(["connecting", "open"]);
});

test("a lost connection is opened again after pauses that double up to half a minute", async () => {
  const { c } = await opened();
  c.chat({ message: "Hi" });
  const pauses: number[] = [];
  Socket.last.cut();
  for (let attempt = 2; attempt < 11; attempt++) {
    const from = Date.now();
    while (Socket.all.length < attempt) await later(50);
    pauses.push(Date.now() - from);
    Socket.last.cut();
  }
  expect(pauses).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]); // half of the most
});

test("a connection that said something was a good one", async () => {
  const { c } = await opened();
  c.chat({ message: "Hi" });
  for (let time = 0; time < 5; time++) {
    Socket.last.say({ type: "pong" });
    Socket.last.cut();
    await later(250);
    expect(Socket.all.length).toBe(time + 2);
    Socket.last.open();
  }
});

test("a connection that lived is opened again at once", async () => {
  const { c } = await opened();
  c.chat({ message: "Hi" });
  for (let time = 0; time < 5; time++) {
    await later(6_000);
    Socket.last.cut(1012);
    await later(250);
    expect(Socket.all.length).toBe(time + 2);
    Socket.last.open();
  }
});

test.each([1006, 1008, 1012])("after %i it is back at once", async (code) => {
  const { c } = await opened();
  c.chat({ message: "Hi" });
  Socket.last.cut(code);
  await later(500);
  expect(Socket.all.length).toBe(2);
});

test.each([4403, 4429])("after %i it takes its time", async (code) => {
  const { c } = await opened();
  c.chat({ message: "Hi" });
  Socket.last.cut(code);
  await later(1_999);
  expect(Socket.all.length).toBe(1);
  await later(1);
  expect(Socket.all.length).toBe(2);
});

test("nothing to talk about: nothing is opened again", async () => {
  const { c, states } = watched();
  const turn = c.chat({ message: "Hi" });
  await later();
  Socket.last.open().say(start(1), done(1, 1, "x"));
  await turn.done;
  Socket.last.cut();
  await later(100_000);
  expect([Socket.all.length, states.pop()]).toEqual([1, "idle"]);
  c.chat({ message: "again" });
  await later();
  expect(Socket.all.length).toBe(2);
});

test("a token that expired is renewed once", async () => {
  const asked: unknown[] = [];
  const { fetch } = fetching(() => refusal(401, "unauthenticated"));
  const { c } = await opened({ fetch, token: (renew?: boolean) => (asked.push(!!renew), renew ? "new" : "old") });
  const turn = c.chat({ message: "Hi" });
  Socket.last.say(start(1));
  Socket.last.cut(4401);
  await later(1_000);
  expect([asked, Socket.last.protocols]).toEqual([[false, true], ["bearer", "new"]]);
  Socket.last.cut(); // the handshake is refused, which no browser says
  await later();
  expect(await failure(turn.done)).toMatchObject({ code: "unauthenticated", status: 401 });
  expect(c.state).toBe("idle");
  await later(100_000);
  expect(Socket.all.length).toBe(2);
});

test("a refused handshake is asked about, and everything waiting hears why", async () => {
  const { calls, fetch } = fetching(() => refusal(403, "ip_not_allowed"));
  const { c } = watched({ fetch });
  const [turn, watching] = [c.chat({ message: "Hi" }), c.watch("s1", () => {})];
  await later();
  Socket.last.cut();
  await later();
  expect(calls.map(({ method, path, headers }) => [method, path, headers.Authorization])).toEqual([
    ["POST", "/api/ws-ticket", "Bearer secret"],
  ]);
  for (const promise of [turn.done, watching]) expect((await failure(promise)).code).toBe("ip_not_allowed");
});

test("a token that cannot be had now is asked for again, one that is refused is not", async () => {
  let answer: any = new Error("no network");
  const { c, states } = watched({ token: async () => Promise.reject(answer) });
  const turn = c.chat({ message: "Hi" });
  await later(3_000);
  expect(states.slice(0, 4)).toEqual(["connecting", "waiting", "connecting", "waiting"]);
  answer = new Clawdbot.Error("visitors_not_allowed", "No.", { status: 403 });
  await later(60_000);
  expect((await failure(turn.done)).code).toBe("visitors_not_allowed");
});

test("a link that says nothing is asked, and given up when it does not answer", async () => {
  const { c } = await opened({ heartbeat: 10_000 });
  c.chat({ message: "Hi" });
  await later(20_000);
  expect(Socket.last.of("ping").length).toBe(1);
  Socket.last.say({ type: "pong" });
  await later(9_999);
  expect(Socket.last.of("ping").length).toBe(1);
  await later(10_001);
  expect(Socket.last.of("ping").length).toBe(2);
  await later(10_000);
  expect(Socket.last.closed).toBe(true);
  await later(500);
  expect(Socket.all.length).toBe(2);
});

test("a link that talks is not asked", async () => {
  await opened({ heartbeat: 10_000 });
  for (let time = 0; time < 20; time++) {
    await later(9_000);
    Socket.last.say({ type: "pong" });
  }
  expect(Socket.last.sent).toEqual([]);
});

test("a handshake that hangs is given up", async () => {
  const { c, states } = watched();
  c.chat({ message: "Hi" });
  await later(10_000);
  expect([Socket.last.closed, states]).toEqual([true, ["connecting", "waiting"]]);
});

test("so is the question why, and a token that never comes", async () => {
  const { c } = watched({ fetch: () => new Promise(() => {}) });
  c.chat({ message: "Hi" });
  await later();
  Socket.last.cut();
  await later(10_250);
  expect(Socket.all.length).toBe(2);
  const never = watched({ token: () => new Promise(() => {}) });
  never.c.chat({ message: "Hi" });
  await later(20_000);
  expect(never.states).toEqual(["connecting", "waiting"]);
});

test("what a socket says that was given up is not heard", async () => {
  const { c } = await opened();
  const turn = c.chat({ message: "Hi" });
  const old = Socket.last;
  old.cut();
  await later(500);
  Socket.last.open();
  old.say(start(1, "old"));
  old.cut();
  Socket.last.say(start(1, "new"));
  expect([await turn.id, c.state]).toEqual(["new", "open"]);
});

test("the browser's word that the network is back counts", async () => {
  const listeners: Record<string, () => void> = {};
  const hooks = {
    addEventListener: (type: string, work: () => void) => void (listeners[type] = work),
    removeEventListener: (type: string) => void delete listeners[type],
  };
  vi.stubGlobal("addEventListener", hooks.addEventListener);
  vi.stubGlobal("removeEventListener", hooks.removeEventListener);
  vi.stubGlobal("document", { visibilityState: "visible", ...hooks });
  const { c } = await opened();
  c.chat({ message: "Hi" });
  listeners.offline!();
  expect(Socket.last.of("ping").length).toBe(1);
  await later(4_000);
  expect([Socket.last.closed, c.state]).toEqual([true, "waiting"]);
  listeners.online!();
  await later();
  expect(Socket.all.length).toBe(2);
  Socket.last.open();
  listeners.visibilitychange!();
  expect(Socket.last.of("ping").length).toBe(1);
  c.close();
  expect(listeners).toEqual({});
});

test("somebody who asks is worth another attempt", async () => {
  const { c } = watched();
  c.chat({ message: "1" });
  for (let time = 0; time < 8; time++) {
    await later(16_000);
    Socket.last.cut();
  }
  await later(2_001);
  const before = Socket.all.length;
  expect(c.state).toBe("waiting");
  c.chat({ message: "2" });
  c.chat({ message: "3" });
  await later();
  expect(Socket.all.length).toBe(before + 1);
});

test("before a visitor's token expires the connection is opened with a new one, and its turns go on", async () => {
  const token = Object.assign(() => "visitor", { expires: Date.now() + 145_000 });
  const { c } = await opened({ token });
  c.chat({ message: "Hi" });
  Socket.last.say(start(1));
  for (let time = 0; time < 9; time++) {
    await later(11_000);
    Socket.last.say({ type: "pong" });
  }
  expect(Socket.all.length).toBe(1);
  token.expires += 100_000; // another call has a new one already
  await later(15_500);
  expect(Socket.all.length).toBe(2);
  expect(Socket.last.open().of("resume")).toEqual([{ type: "resume", turn_id: "t1", last_event_id: "t1.0", ref: 1 }]);
});

test("where no socket can be opened though the gateway answers, HTTP serves, and a socket is tried again", async () => {
  const { calls, fetch } = fetching(({ path }) => (path === "/api/ws-ticket" ? TICKET : new Promise(() => {})));
  const { c } = watched({ fetch });
  c.chat({ message: "Hi" });
  await later();
  Socket.last.cut();
  await later(250);
  Socket.last.cut();
  await later();
  expect(c.state).toBe("open");
  expect(calls.map(({ path }) => path)).toEqual(["/api/ws-ticket", "/api/ws-ticket", "/api/chat"]);
  await later(300_000);
  expect(Socket.all.length).toBe(3);
});
