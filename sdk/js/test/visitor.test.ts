import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Clawdbot } from "../src/index";
import { failure, fetching, later, refusal } from "./double";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

function memory(given: Record<string, string> = {}) {
  return { given, getItem: (key: string) => given[key] ?? null, setItem: (key: string, value: string) => void (given[key] = value) };
}

function desk() {
  let number = 0;
  return fetching(() => ({ json: { token: `v${++number}`, expires_in: 3600, visitor: "someone" } }));
}

const about = { baseUrl: "https://gate.example/", tenant: "shop" };

test("a visitor has one token until a minute before it expires", async () => {
  const { calls, fetch } = desk();
  const token = Clawdbot.visitor({ ...about, fetch, store: memory() });
  expect(token.expires).toBe(0);
  expect([await token(), await token()]).toEqual(["v1", "v1"]);
  expect(token.expires).toBe(Date.now() + 3_600_000);
  expect(calls[0]).toMatchObject({ method: "POST", url: "https://gate.example/api/visitors", body: { tenant: "shop" } });
  await later(3_539_000);
  expect(await token()).toBe("v1");
  await later(1_000);
  expect(await token()).toBe("v2");
  expect(calls[1]!.body).toEqual({ tenant: "shop", previous: "v1" });
});

test("a short life is halved", async () => {
  const { calls, fetch } = fetching(() => ({ json: { token: "v", expires_in: 60, visitor: "x" } }));
  const token = Clawdbot.visitor({ ...about, fetch, store: memory() });
  await token();
  await later(29_999);
  await token();
  expect(calls.length).toBe(1);
  await later(1);
  await token();
  expect(calls.length).toBe(2);
});

test("who returns is the same visitor, at each gateway and tenant another one", async () => {
  const store = memory();
  const { calls, fetch } = desk();
  await Clawdbot.visitor({ ...about, fetch, store })();
  expect(await Clawdbot.visitor({ ...about, fetch, store })()).toBe("v1");
  await later(7_200_000);
  await Clawdbot.visitor({ ...about, fetch, store })();
  await Clawdbot.visitor({ ...about, tenant: "other", fetch, store })();
  expect(calls.map(({ body }) => body.previous)).toEqual([undefined, "v1", undefined]);
});

test("a refused token is not given again, and many who ask at once ask once", async () => {
  const { calls, fetch } = desk();
  const token = Clawdbot.visitor({ ...about, fetch, store: memory() });
  await token();
  expect(await Promise.all([token(true), token(true), token(true)])).toEqual(["v2", "v2", "v2"]);
  expect(calls.length).toBe(2);
});

test("a store that fails, or holds nonsense, is as good as none", async () => {
  const { fetch } = desk();
  const full = { getItem: () => "{", setItem: () => { throw new Error("full"); } }; // prettier-ignore
  expect(await Clawdbot.visitor({ ...about, fetch, store: full })()).toBe("v1");
  expect(await Clawdbot.visitor({ ...about, fetch, store: null })()).toBe("v2");
  vi.stubGlobal("localStorage", undefined);
  expect(await Clawdbot.visitor({ ...about, fetch })()).toBe("v3");
});

test("a tenant that allows no visitors says so; the next call asks again", async () => {
  let allowed = false;
  const { fetch } = fetching(() => (allowed ? { json: { token: "v", expires_in: 60, visitor: "x" } } : refusal(403, "forbidden")));
  const token = Clawdbot.visitor({ ...about, fetch, store: memory() });
  expect(await failure(token())).toMatchObject({ code: "forbidden", status: 403 });
  allowed = true;
  expect(await token()).toBe("v");
});

test("keys are made without crypto, too", async () => {
  vi.stubGlobal("crypto", undefined);
  const { unique } = await import("../src/platform");
  const made = new Set(Array.from({ length: 100 }, unique));
  expect(made.size).toBe(100);
  for (const key of made) expect(key).toMatch(/^[a-z0-9-]{10,100}$/);
});
