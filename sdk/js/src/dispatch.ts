import { ClawdbotError, told } from "./errors";
import type { Http } from "./http";
import { Link, type State } from "./link";
import { platform, unique, type WebSocketClass } from "./platform";
import { events } from "./stream";
import { Turn } from "./turn";
import type { ChatRequest, Message } from "./types";

/** A turn that began elsewhere, on another screen of the same user. */
export interface SharedTurn {
  turn_id: string;
  session_id: string;
  /** What was asked. */
  messages: Message[];
  /** Its answer. */
  turn: Turn;
}

export type Watcher = (shared: SharedTurn) => void;

const AT_ONCE = 8; // turns on one socket
const AT_ONCE_OVER_HTTP = 4; // a browser has six connections to a host
const MAX_FRAME = 256 * 1024;
const PAUSE = 1_000; // before the same is asked again
const LONGEST_PAUSE = 5; // of these
const ATTEMPTS = 100;
const BUSY_ATTEMPTS = 10; // at a gateway that says it takes nothing now
const USED = 8; // sessions that a new connection watches, as the gateway does of those that were used on the old one
const CANCEL_TIME = 3_000; // then a turn ends as cancelled even if nobody said so

interface Watch {
  ref: number;
  user?: string;
  watcher: Watcher;
  settle?: { done(): void; fail(error: unknown): void };
}

/** Keeps the turns that are not over, and puts them on the link whenever there is one. @internal */
export class Dispatch {
  readonly link: Link;
  private refs = 0;
  private turns = new Map<number, Turn>(); // by ref, the oldest first
  private watches = new Map<string, Watch>(); // by session
  private used = new Map<string, string | undefined>(); // sessions of chats, and for whom
  private doomed = new Set<string>(); // cancelled while nobody could be told
  private kept = false;
  private closed = false;

  constructor(
    private api: Http,
    private options: { heartbeat?: number; maxQueue?: number; WebSocket?: WebSocketClass | null; token: unknown },
    changed: (state: State) => void,
    private shared: Watcher,
  ) {
    const host = {
      connected: () => this.connected(),
      heard: (frame: any) => this.heard(frame),
      parted: () => this.parted(),
      refused: (error: ClawdbotError) => this.end(error),
      changed,
      wanted: () => this.kept || this.turns.size + this.watches.size > 0,
      expires: () => (options.token as { expires?: number }).expires ?? 0,
    };
    this.link = new Link(host, api, options.heartbeat ?? 15_000, options.WebSocket === undefined ? platform.WebSocket : options.WebSocket);
  }

  connect(): void {
    this.kept = true;
    this.link.want();
  }

  chat(request: ChatRequest): Turn {
    const key = request.idempotency_key ?? unique();
    const { cache, user } = request;
    const turn = this.turn({ key, cache, user, body: JSON.stringify({ ...request, idempotency_key: key }) });
    const queued = [...this.turns.values()].filter((other) => !other.placed).length;
    if (queued > (this.options.maxQueue ?? 100)) {
      this.fail(turn, new ClawdbotError("queue_full", "Too many chats wait for a connection.", { retryable: true }));
    }
    return this.begin(turn);
  }

  resume(turnId: string, lastEventId?: string): Turn {
    const turn = this.turn();
    turn.named(turnId);
    if (lastEventId) {
      turn.lastId = lastEventId;
      turn.last = +lastEventId.split(".").pop()!;
    }
    return this.begin(turn);
  }

  watch(sessionId: string, watcher: Watcher, user?: string): Promise<void> {
    const watch: Watch = { ref: ++this.refs, user, watcher };
    const answered = new Promise<void>((done, fail) => (watch.settle = { done, fail }));
    answered.catch(() => {}); // nobody has to listen
    this.watches.set(sessionId, watch);
    this.say("watch", sessionId, watch);
    this.link.want();
    return answered;
  }

  unwatch(sessionId: string): void {
    const watch = this.watches.get(sessionId);
    if (!watch) return;
    this.watches.delete(sessionId);
    this.say("unwatch", sessionId, watch);
  }

  close(): void {
    this.closed = true;
    this.link.close();
    this.end(new ClawdbotError("closed", "The client was closed."));
  }

  /** By its user. */
  cancelled(turn: Turn): void {
    const cancelled = () => {
      if (turn.over) return;
      if (turn.turnId) this.doom(turn.turnId);
      this.stop(turn, new ClawdbotError("cancelled", "The turn was cancelled.", { turnId: turn.turnId || undefined }));
    };
    if (turn.leave || !turn.placed || !this.onSocket) return cancelled();
    this.send(turn.turnId ? { type: "cancel", turn_id: turn.turnId } : { type: "cancel", ref: turn.ref });
    platform.setTimeout(cancelled, CANCEL_TIME);
  }

  private turn(asked?: Turn["asked"]): Turn {
    const turn = new Turn(this, ++this.refs, asked);
    this.turns.set(turn.ref, turn);
    return turn;
  }

  private begin(turn: Turn): Turn {
    if (this.closed) this.fail(turn, new ClawdbotError("closed", "The client was closed."));
    if (turn.over) return turn;
    this.link.want();
    this.place();
    return turn;
  }

  /** Puts what waits on the link, as much as there is room for. */
  private place(): void {
    if (this.link.state !== "open") return;
    const most = this.link.http ? AT_ONCE_OVER_HTTP : AT_ONCE;
    let placed = [...this.turns.values()].filter((turn) => turn.placed && !turn.foreign).length;
    for (const turn of this.turns.values()) {
      if (turn.placed) continue;
      if (placed >= most) return;
      const big = (turn.asked?.body.length ?? 0) * 3 > MAX_FRAME; // a character has three bytes at most
      const http = this.link.http || (!turn.turnId && (big || turn.via === "http"));
      if (http && !turn.turnId && turn.via === "socket") continue; // its key is known there
      placed++;
      turn.placed = true;
      turn.foreign = false;
      if (http) void this.read(turn);
      else if (turn.turnId) {
        this.send({ type: "resume", turn_id: turn.turnId, last_event_id: turn.lastId, ref: turn.ref });
      } else {
        turn.via = "socket";
        this.link.send(`{"type":"chat","ref":${turn.ref},${turn.asked!.body.slice(1)}`);
      }
    }
  }

  private connected(): void {
    for (const id of this.doomed) this.doom(id);
    this.place();
    for (const [id, watch] of this.watches) this.say("watch", id, watch);
    for (const [id, user] of this.used) if (!this.watches.has(id)) this.say("watch", id, { user });
  }

  /** What was on the socket has to be put somewhere again; what is read over HTTP goes on. */
  private parted(): void {
    for (const turn of this.turns.values()) if (!turn.leave) this.lift(turn);
  }

  private lift(turn: Turn): void {
    platform.clearTimeout(turn.pause);
    turn.placed = false;
  }

  // What the socket says ------------------------------------------------------------------------------------------

  private heard(frame: any): void {
    if (frame.type === "turn") return this.begun(frame);
    const turn = this.turns.get(frame.ref) ?? (frame.ref == null && this.foreign(frame.turn_id));
    if (turn) return this.deliver(turn, frame);
    const [id, watch] = [...this.watches].find(([, { ref }]) => ref === frame.ref) ?? [];
    if (!watch) return;
    if (frame.type !== "error") watch.settle!.done();
    else if (frame.retryable) platform.setTimeout(() => this.watches.get(id!) === watch && this.say("watch", id!, watch), PAUSE);
    else watch.settle!.fail(told(frame)); // the next connection may find it: a session begins with its first turn
  }

  private foreign(turnId: unknown): Turn | undefined {
    return [...this.turns.values()].find((turn) => turn.foreign && turn.turnId === turnId);
  }

  private begun({ turn_id, session_id, messages }: SharedTurn): void {
    if ([...this.turns.values()].some((turn) => turn.turnId === turn_id)) return;
    const turn = this.turn();
    turn.named(turn_id);
    turn.placed = turn.foreign = true;
    const shared = { turn_id, session_id, messages, turn };
    this.watches.get(session_id)?.watcher(shared);
    this.shared(shared);
  }

  private deliver(turn: Turn, { ref, turn_id, ...frame }: any): void {
    if (frame.type === "over") this.again(turn);
    else if (frame.type === "error") this.trouble(turn, told(frame, undefined, turn_id), !!frame.event_id);
    else turn.take(frame);
    if (frame.type === "start" && turn.asked && frame.session_id) this.use(frame.session_id, turn.asked.user);
    if (turn.over) this.forget(turn);
  }

  private use(sessionId: string, user?: string): void {
    this.used.delete(sessionId);
    this.used.set(sessionId, user);
    if (this.used.size > USED) this.used.delete([...this.used.keys()][0]!);
  }

  /** `itself`: the turn's own end; otherwise only this attempt to ask or to read has failed. */
  private trouble(turn: Turn, error: ClawdbotError, itself: boolean): void {
    const { code, running, retryable } = error;
    const most = turn.turnId ? retryable && ATTEMPTS : code === "overloaded" ? BUSY_ATTEMPTS : code === "idempotency_running" && ATTEMPTS;
    if (itself || !most || turn.attempts++ >= most) return this.fail(turn, error);
    if (turn.turnId || !running) return this.later(turn);
    turn.named(running); // it was heard before the connection was lost
    this.lift(turn);
    this.place();
  }

  /** Nothing is missing but its end, which was not told: from the beginning, of which only that is new. */
  private again(turn: Turn): void {
    if (!turn.lastId) return this.fail(turn, new ClawdbotError("turn_not_found", "The turn has no events."));
    turn.last--;
    turn.lastId = undefined;
    this.lift(turn);
    this.place();
  }

  private later(turn: Turn): void {
    turn.pause = platform.setTimeout(() => {
      this.lift(turn);
      this.place();
    }, PAUSE * Math.min(turn.attempts || 1, LONGEST_PAUSE));
  }

  // Over HTTP -----------------------------------------------------------------------------------------------------

  private async read(turn: Turn): Promise<void> {
    const abort = platform.AbortController && new platform.AbortController();
    let left = false;
    const leave = (turn.leave = () => {
      left = true;
      abort?.abort();
    });
    try {
      const response = await this.ask(turn, abort?.signal);
      if (response.status === 204) return this.again(turn);
      await events(response, (event) => left || this.deliver(turn, event));
      if (!left && !turn.over) throw new Error("The stream was cut.");
    } catch (error) {
      if (left) return;
      if (error instanceof ClawdbotError && error.status) this.trouble(turn, error, false);
      else {
        this.later(turn);
        this.link.failed();
      }
    } finally {
      if (turn.leave === leave) turn.leave = undefined; // it may be read again already
    }
  }

  private ask(turn: Turn, signal: unknown) {
    if (turn.turnId) {
      const headers: Record<string, string> = turn.lastId ? { "Last-Event-ID": turn.lastId } : {};
      return this.api.open("GET", `/api/turns/${turn.turnId}/events`, { headers, signal });
    }
    const { key, body, cache } = turn.asked!;
    const headers: Record<string, string> = { "Idempotency-Key": key };
    if (cache) headers["Cache-Control"] = cache;
    turn.via = "http";
    return this.api.open("POST", "/api/chat", { text: `{"stream":true,${body.slice(1)}`, headers, signal });
  }

  // Ends ----------------------------------------------------------------------------------------------------------

  private fail(turn: Turn, error: ClawdbotError): void {
    turn.fail(error);
    this.forget(turn);
  }

  private stop(turn: Turn, error: ClawdbotError): void {
    turn.leave?.();
    this.fail(turn, error);
  }

  private forget(turn: Turn): void {
    if (this.turns.delete(turn.ref)) this.place();
  }

  private end(error: ClawdbotError): void {
    const { watches } = this;
    this.watches = new Map();
    for (const watch of watches.values()) watch.settle!.fail(error);
    for (const turn of [...this.turns.values()]) this.stop(turn, error);
  }

  private doom(turnId: string): void {
    this.doomed.add(turnId);
    const done = () => this.doomed.delete(turnId);
    this.api.open("POST", `/api/turns/${turnId}/cancel`).then(done, (error: ClawdbotError) => error.status && done());
  }

  private say(type: string, session_id: string, { ref, user }: Pick<Watch, "user"> & Partial<Watch>): void {
    if (this.onSocket) this.send({ type, session_id, user, ref });
  }

  private send(frame: object): void {
    this.link.send(JSON.stringify(frame));
  }

  private get onSocket(): boolean {
    return this.link.state === "open" && !this.link.http;
  }
}
