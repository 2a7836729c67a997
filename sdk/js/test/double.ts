// Doubles of the network: sockets that a test opens, feeds and cuts, and a `fetch` that a test answers.
import { vi } from "vitest";
import { Clawdbot, type ClawdbotOptions } from "../src/index";

export class Socket {
  static all: Socket[] = [];
  static get last(): Socket {
    return Socket.all[Socket.all.length - 1]!;
  }

  onopen: any = null;
  onmessage: any = null;
  onclose: any = null;
  onerror: any = null;
  sent: any[] = [];
  closed = false;

  constructor(
    readonly url: string,
    readonly protocols?: string[],
  ) {
    Socket.all.push(this);
  }

  send(text: string): void {
    if (this.closed) throw new Error("closed");
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.closed = true;
  }

  open(): this {
    this.onopen({});
    return this;
  }

  say(...frames: object[]): void {
    for (const frame of frames) this.onmessage({ data: JSON.stringify(frame) });
  }

  /** The network, or the gateway, ends it. */
  cut(code = 1006): void {
    this.closed = true;
    this.onclose({ code });
  }

  of(type: string): any[] {
    return this.sent.filter((frame) => frame.type === type);
  }
}

export interface Call {
  method: string;
  url: string;
  path: string;
  headers: Record<string, string>;
  body: any;
  signal: AbortSignal;
}

export type Answer = { status?: number; json?: unknown; text?: string; pieces?: (string | Error)[]; headers?: Record<string, string> };

/** `answer` says what comes of a call; an Error: the network is gone. */
export function fetching(answer: (call: Call) => Answer | Error | Promise<Answer | Error>) {
  const calls: Call[] = [];
  const fetch = async (url: string, init: any) => {
    const { method, headers, signal } = init;
    const call = { method, url, path: url.replace(/^https?:\/\/[^/]*/, ""), headers, signal, body: init.body && JSON.parse(init.body) };
    calls.push(call);
    const given = await answer(call);
    if (given instanceof Error) throw given;
    const { status = 200, json, text, pieces, headers: fields = {} } = given;
    return {
      ok: status < 300,
      status,
      headers: { get: (name: string) => fields[name] ?? null },
      body: pieces && streamOf(pieces, signal),
      text: async () => text ?? (json === undefined ? "" : JSON.stringify(json)),
    };
  };
  return { calls, fetch };
}

function streamOf(pieces: (string | Error)[], signal?: AbortSignal) {
  const left = [...pieces];
  const encoder = new TextEncoder();
  const read = async () => {
    if (signal?.aborted) throw new Error("aborted");
    if (!left.length) return { done: true };
    const next = left.shift()!;
    if (next instanceof Error) throw next;
    return { done: false, value: encoder.encode(next) };
  };
  return { getReader: () => ({ read }) };
}

export const refusal = (status: number, code: string, fields: object = {}): Answer => ({
  status,
  json: { error: { code, message: code, request_id: "r1", retryable: false, ...fields } },
});

export const nobody = fetching(() => new Error("nobody is there"));

/** A client on doubles, with pauses of half the most. */
export function client(options: Partial<ClawdbotOptions> = {}): Clawdbot {
  Socket.all = [];
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  return new Clawdbot({ baseUrl: "https://gate.example", token: "secret", WebSocket: Socket as any, fetch: nobody.fetch, ...options });
}

export const start = (ref: number | undefined, id = "t1") => ({
  type: "start", ref, event_id: `${id}.0`, id, session_id: "s1", model: "m",
}); // prettier-ignore
export const delta = (ref: number | undefined, number: number, content: string, id = "t1") => ({
  type: "delta", ref, event_id: `${id}.${number}`, content,
}); // prettier-ignore
export const done = (ref: number | undefined, number: number, content: string, id = "t1") => ({
  type: "done", ref, event_id: `${id}.${number}`, id, message: { role: "assistant", content }, usage: {}, finish_reason: "stop", route: {},
}); // prettier-ignore

export const sse = (frame: any): string => {
  const { type, event_id, ref: _, ...data } = frame;
  return `id: ${event_id}\nevent: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
};

/** What a turn told, read to its end. */
export async function all(turn: AsyncIterable<any>): Promise<any[]> {
  const events = [];
  for await (const event of turn) events.push(event);
  return events;
}

/** The error a promise ends with. */
export const failure = (promise: Promise<unknown>): Promise<any> => promise.then(() => undefined, (error) => error);

export const later = (milliseconds = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(milliseconds);
