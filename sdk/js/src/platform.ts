// What the SDK asks of its surroundings, so that neither the DOM's types nor Node's are needed to compile against it.

export interface AbortSignalLike {
  readonly aborted: boolean;
  addEventListener(type: "abort", listener: () => void): void;
}

export interface ResponseLike {
  readonly ok: boolean;
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body?: unknown;
  text(): Promise<string>;
}

export type FetchLike = (
  url: string,
  init: { method: string; headers: Record<string, string>; body?: string; signal?: any },
) => Promise<ResponseLike>;

export interface WebSocketLike {
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}

export type WebSocketClass = new (url: string, protocols?: string[]) => WebSocketLike;

/** `localStorage`, or anything with these two. */
export interface StorageLike {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

/** A timer's handle: a number in browsers, an object in Node. @internal */
export type Timer = unknown;

interface Reader {
  read(): Promise<{ done: boolean; value?: unknown }>;
}

/** The global object, of which every part may be missing. @internal */
export const platform = globalThis as unknown as {
  setTimeout(work: () => void, milliseconds: number): Timer;
  clearTimeout(timer: Timer): void;
  fetch?: FetchLike;
  WebSocket?: WebSocketClass;
  AbortController?: new () => { signal: unknown; abort(): void };
  TextDecoder?: new () => { decode(bytes: unknown, options: { stream: boolean }): string };
  crypto?: { randomUUID?(): string };
  location?: { origin: string };
  localStorage?: StorageLike;
  document?: { visibilityState: string; addEventListener?: Listen; removeEventListener?: Listen };
  addEventListener?: Listen;
  removeEventListener?: Listen;
};

type Listen = (type: string, listener: () => void) => void;

/** A name nobody else chooses. `crypto` is missing in React Native and on pages without HTTPS. @internal */
export function unique(): string {
  return (
    platform.crypto?.randomUUID?.() ??
    [Date.now(), Math.random(), Math.random()].map((part) => part.toString(36).replace("0.", "")).join("-")
  );
}

/** Hands over an answer's body as text, piece by piece; React Native has it only whole. @internal */
export async function pieces(response: ResponseLike, take: (piece: string) => void): Promise<void> {
  const body = response.body as { getReader?(): Reader } | null | undefined;
  if (!body?.getReader || !platform.TextDecoder) return take(await response.text());
  const reader = body.getReader();
  const decoder = new platform.TextDecoder();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    take(decoder.decode(value, { stream: true }));
  }
}
