import { Dispatch, type SharedTurn, type Watcher } from "./dispatch";
import { ClawdbotError } from "./errors";
import { Http, type TokenSource } from "./http";
import type { State } from "./link";
import { platform, type AbortSignalLike, type FetchLike, type WebSocketClass } from "./platform";
import { sessions, type Sessions } from "./sessions";
import type { Turn } from "./turn";
import type { ChatRequest, Decision, Model, TurnRecord } from "./types";
import { origin, visitor } from "./visitor";

export interface ClawdbotOptions {
  /** The gateway; without it the page's own origin. */
  baseUrl?: string;
  /** An API key or JWT, or what gives one: it is asked for every connection and call. */
  token: TokenSource;
  /** Of errors, and of chats that name none. */
  language?: string;
  /** For whom an API key speaks. */
  user?: string;
  fetch?: FetchLike;
  /** Null: none, everything goes over HTTP. */
  WebSocket?: WebSocketClass | null;
  /** Milliseconds without a frame after which an open connection is asked for a sign of life; 15,000. */
  heartbeat?: number;
  /** How many chats may wait for a connection; 100. */
  maxQueue?: number;
}

interface Events {
  state: State;
  turn: SharedTurn;
}

/** A connection to the gateway that mends itself. Nothing is opened before there is something to say. */
export class Clawdbot {
  /** The token of an anonymous visitor, where the tenant allows them. */
  static readonly visitor = visitor;
  static readonly Error = ClawdbotError;

  readonly sessions: Sessions;
  private api: Http;
  private dispatch: Dispatch;
  private listeners: { [Name in keyof Events]: Set<(event: Events[Name]) => void> } = { state: new Set(), turn: new Set() };
  private unhook: () => void;

  constructor(private options: ClawdbotOptions) {
    const base = origin(options.baseUrl);
    if (!/^https?:/.test(base)) throw new TypeError("baseUrl must be an http or https address.");
    this.api = new Http(base, options.token, options.language, options.fetch);
    this.sessions = sessions(this.api, options.user);
    this.dispatch = new Dispatch(
      this.api,
      options,
      (state) => this.tell("state", state),
      (shared) => this.tell("turn", shared),
    );
    this.unhook = hook(this.dispatch.link.wake);
  }

  get state(): State {
    return this.dispatch.link.state;
  }

  /** Opens the connection before there is anything to say, and keeps it. */
  connect(): void {
    this.dispatch.connect();
  }

  /** Asks. The answer comes whatever becomes of the connection, once. Waits its turn while there is none. */
  chat(request: ChatRequest, { signal }: { signal?: AbortSignalLike } = {}): Turn {
    const { user, language } = this.options;
    const turn = this.dispatch.chat({ user, language, ...request });
    if (signal?.aborted) turn.cancel();
    else signal?.addEventListener("abort", () => turn.cancel());
    return turn;
  }

  /** A turn that runs or ran: its events after the given one, or all. */
  resume(turnId: string, lastEventId?: string): Turn {
    return this.dispatch.resume(turnId, lastEventId);
  }

  /** Turns of this session that begin elsewhere are told to `watcher` from now on. Settles with the gateway's answer. */
  watch(sessionId: string, watcher: Watcher, { user = this.options.user }: { user?: string } = {}): Promise<void> {
    return this.dispatch.watch(sessionId, watcher, user);
  }

  unwatch(sessionId: string): void {
    this.dispatch.unwatch(sessionId);
  }

  /** `state`: of the connection; `turn`: one that began elsewhere. Returns what ends it. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    this.listeners[name].add(listener);
    return () => void this.listeners[name].delete(listener);
  }

  /** The record of a turn, with the decision which model answered. */
  turn(id: string): Promise<TurnRecord> {
    return this.api.json("GET", "/api/turns/" + encodeURIComponent(id));
  }

  /** Which model would answer this, and why. */
  explain(request: ChatRequest): Promise<Decision> {
    return this.api.json("POST", "/api/route/explain", request);
  }

  models(): Promise<{ object: "list"; data: Model[] }> {
    return this.api.json("GET", "/v1/models");
  }

  /** For good: what is unfinished ends with the error `closed`. */
  close(): void {
    this.unhook();
    this.dispatch.close();
  }

  private tell<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    for (const listener of [...this.listeners[name]]) listener(event);
  }
}

/** Browsers say when it is worth looking. */
function hook(wake: () => void): () => void {
  const { document } = platform;
  const seen = () => document!.visibilityState === "visible" && wake();
  for (const type of ["online", "offline"]) platform.addEventListener?.(type, wake);
  document?.addEventListener?.("visibilitychange", seen);
  return () => {
    for (const type of ["online", "offline"]) platform.removeEventListener?.(type, wake);
    document?.removeEventListener?.("visibilitychange", seen);
  };
}
