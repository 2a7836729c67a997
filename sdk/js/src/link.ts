import { ClawdbotError } from "./errors";
import type { Http } from "./http";
import { platform, type Timer, type WebSocketClass, type WebSocketLike } from "./platform";

/**
 * `idle`: there is nothing to talk about; `connecting`; `open`; `waiting`: until the next attempt; `closed`: for good.
 */
export type State = "idle" | "connecting" | "open" | "waiting" | "closed";

/** Whom a link works for. @internal */
export interface Host {
  /** It is open: what is unfinished can be sent. */
  connected(): void;
  heard(frame: any): void;
  /** The socket is gone, and with it all that was sent there and not answered. */
  parted(): void;
  /** The credential is no good; nothing more is tried by itself. */
  refused(error: ClawdbotError): void;
  changed(state: State): void;
  /** Whether there is anything to connect for. */
  wanted(): boolean;
  /** When the last token expires, in milliseconds since 1970; 0: nobody knows. */
  expires(): number;
}

const CONNECT_TIME = 10_000;
const PONG_TIME = 10_000;
const WAKE_TIME = 4_000;
const EAGER = 2_000; // after an attempt, somebody who asks is worth another one
const STABLE = 5_000; // a socket that lived so long was a good one
const RENEWAL = 45_000; // before the end of a token, when its source has a new one
const LONGEST = 30_000;
const SOCKET_AGAIN = 300_000; // between attempts at a socket while HTTP serves
const FRAMES_A_SECOND = 16; // the gateway closes at more than 20
const EXPIRED = 4401;

/**
 * The one connection: opens it when it is wanted, notices when it is gone, and opens it again after a pause that
 * doubles, each a random part of itself. Where no socket can be opened though the gateway answers, `http` is true.
 * @internal
 */
export class Link {
  state: State = "idle";
  http = false;
  private socket?: WebSocketLike;
  private timer?: Timer; // one of: connecting takes too long, the next attempt, the next look at an open socket
  private pacer?: Timer;
  private attempt = 0; // of what is over nothing is heard any more
  private failures = 0;
  private unopened = 0;
  private renew = false;
  private stale = 0; // of the token this socket was opened with
  private openedAt = 0;
  private tried = 0;
  private heard = false;
  private pinged = false;
  private outbox: string[] = [];
  private sent: number[] = [];

  constructor(
    private host: Host,
    private api: Http,
    private heartbeat: number,
    private WebSocket: WebSocketClass | null | undefined,
  ) {}

  /** There is something to talk about. */
  want(): void {
    if (this.state === "idle" || (this.state === "waiting" && Date.now() - this.tried > EAGER)) void this.open();
  }

  /** The network may have changed: look now. */
  wake = (): void => {
    if (this.state === "waiting") void this.open();
    else if (this.socket && this.state === "open") this.ping(WAKE_TIME);
  };

  /** A call over HTTP got no answer. */
  failed(): void {
    if (this.http && this.state === "open") this.wait(0);
  }

  send(frame: string): void {
    this.outbox.push(frame);
    this.flush();
  }

  close(): void {
    this.drop();
    this.set("closed");
  }

  private async open(): Promise<void> {
    this.drop();
    this.set("connecting");
    const attempt = this.attempt;
    this.tried = Date.now();
    this.after(CONNECT_TIME, () => this.lost(0));
    let socket: WebSocketLike;
    try {
      const token = await this.api.token(this.renew);
      if (attempt !== this.attempt) return;
      const expires = this.host.expires();
      this.stale = expires && expires - Math.min(RENEWAL, (expires - Date.now()) / 3);
      if (!this.WebSocket) return this.opened(true);
      socket = new this.WebSocket(this.api.base.replace(/^http/, "ws") + "/ws/chat", ["bearer", token]);
    } catch (error) {
      if (attempt === this.attempt) this.judge(error);
      return;
    }
    this.socket = socket;
    socket.onopen = () => attempt === this.attempt && this.opened(false);
    socket.onclose = (event) => attempt === this.attempt && this.lost(event?.code);
    socket.onerror = () => {}; // a close follows
    socket.onmessage = (event) => {
      if (attempt !== this.attempt) return;
      this.heard = true;
      this.pinged = false;
      this.failures = 0;
      this.host.heard(JSON.parse(event.data));
    };
  }

  private opened(http: boolean): void {
    platform.clearTimeout(this.timer);
    this.http = http;
    this.heard = true;
    this.pinged = this.renew = false;
    this.openedAt = Date.now();
    if (!http) {
      this.unopened = 0;
      this.after(this.heartbeat, this.look);
    } else if (this.WebSocket) this.after(SOCKET_AGAIN, () => this.open());
    this.set("open");
    this.host.connected();
  }

  /** Is anybody there? Every `heartbeat`, and sooner after a ping. */
  private look = (): void => {
    if (this.stale && this.stale <= Date.now()) return this.lost(0); // before the gateway does, which would end its turns
    if (!this.heard) return this.pinged ? this.lost(0) : this.ping(Math.min(PONG_TIME, this.heartbeat));
    this.heard = false;
    this.after(this.heartbeat, this.look);
  };

  private ping(deadline: number): void {
    this.heard = false;
    this.pinged = true;
    this.send('{"type":"ping"}');
    this.after(deadline, this.look);
  }

  private lost(code: number): void {
    const opened = this.state === "open";
    this.drop();
    this.host.parted();
    if (!opened) return void this.diagnose();
    if (Date.now() - this.openedAt > STABLE) this.failures = 0;
    this.renew = code === EXPIRED;
    this.wait(code);
  }

  /** No socket could be opened, and nobody is told why: an ordinary call is. */
  private async diagnose(): Promise<void> {
    const attempt = this.attempt;
    this.after(CONNECT_TIME, () => this.wait(0));
    let refusal: unknown;
    try {
      await this.api.open("POST", "/api/ws-ticket", { body: {} });
    } catch (error) {
      refusal = error;
    }
    if (attempt !== this.attempt) return;
    if (refusal) this.judge(refusal);
    else if (++this.unopened > 1) this.opened(true);
    else this.wait(0);
  }

  private judge(error: unknown): void {
    if (error instanceof ClawdbotError && (error.status === 401 || error.status === 403)) {
      this.drop();
      this.renew = false;
      this.set("idle");
      this.host.refused(error);
    } else this.wait(0);
  }

  private wait(code: number): void {
    this.drop();
    if (!this.host.wanted()) return this.set("idle");
    const first = code === 4403 || code === 4429 ? 4_000 : 500;
    const pause = Math.min(LONGEST, first * 2 ** this.failures++) * Math.random();
    this.after(pause, () => this.open());
    this.set("waiting");
  }

  private drop(): void {
    this.attempt++;
    this.outbox = [];
    this.sent = [];
    platform.clearTimeout(this.timer);
    platform.clearTimeout(this.pacer);
    this.pacer = undefined;
    const { socket } = this;
    this.socket = undefined;
    try {
      socket?.close(1000);
    } catch {
      // it was not open yet: nothing is heard of it any more
    }
  }

  private flush(): void {
    while (this.outbox.length && this.socket && !this.pacer) {
      const now = Date.now();
      this.sent = this.sent.filter((at) => now - at < 1_000);
      if (this.sent.length >= FRAMES_A_SECOND) {
        this.pacer = platform.setTimeout(() => {
          this.pacer = undefined;
          this.flush();
        }, 1_000 - (now - this.sent[0]!));
        return;
      }
      this.sent.push(now);
      this.socket.send(this.outbox.shift()!);
    }
  }

  private after(pause: number, work: () => void): void {
    platform.clearTimeout(this.timer);
    this.timer = platform.setTimeout(work, pause);
  }

  private set(state: State): void {
    if (state === this.state) return;
    this.state = state;
    this.host.changed(state);
  }
}
