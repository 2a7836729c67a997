import { ClawdbotError } from "./errors";
import { platform, type Timer } from "./platform";
import type { DoneEvent, TurnEvent } from "./types";

/** A chat as it is sent, and sent again. @internal */
export interface Asked {
  key: string;
  body: string;
  cache?: string;
  user?: string;
}

/** What a turn needs of its client. @internal */
export interface Canceller {
  cancelled(turn: Turn): void;
}

/**
 * One question and its answer as it comes: `for await (const event of turn)`. Every loop gets all events from the first
 * on, so that a turn can be read more than once; leaving a loop does not stop the turn, `cancel` does.
 */
export class Turn implements AsyncIterable<TurnEvent> {
  /** Known with the `start` event; fails as the turn does. */
  readonly id: Promise<string>;
  /** The last event, which has the whole message; fails with the ClawdbotError the turn ended with. */
  readonly done: Promise<DoneEvent>;

  /** @internal */ turnId = "";
  /** The number of the last event. @internal */ last = -1;
  /** Its id. @internal */ lastId?: string;
  /** On the present socket, or being read over HTTP. @internal */ placed = false;
  /** By which transport it was asked while nobody knows its id. @internal */ via?: "socket" | "http";
  /** Ends what reads it over HTTP. @internal */ leave?: () => void;
  /** @internal */ over = false;
  /** Begun elsewhere and shown here: its frames have no ref. @internal */ foreign = false;
  /** Its user wants it to end. @internal */ stopping = false;
  /** Until it is tried again. @internal */ pause?: Timer;
  /** How often the same had to be asked again. @internal */ attempts = 0;

  private events: TurnEvent[] = [];
  private error?: ClawdbotError;
  private waiting: (() => void)[] = [];
  private written: string[] = [];
  private settle!: { id(id: string): void; done(event: DoneEvent): void; fail(error: ClawdbotError): void };

  /** @internal */
  constructor(
    private client: Canceller,
    /** @internal */ readonly ref: number,
    /** Of a chat; a turn that is only followed has none. @internal */ readonly asked?: Asked,
  ) {
    let id: (id: string) => void, noId: (error: unknown) => void;
    this.id = new Promise((resolve, reject) => ((id = resolve), (noId = reject)));
    this.done = new Promise((done, reject) => {
      this.settle = { id, done, fail: (error) => (noId(error), reject(error)) };
    });
    this.id.catch(() => {}); // nobody has to listen to them
    this.done.catch(() => {});
  }

  /** Stops it, wherever it runs. It ends with the error `cancelled`. */
  cancel(): void {
    if (this.over || this.stopping) return;
    this.stopping = true;
    this.client.cancelled(this);
  }

  /** The whole answer as text (of its first choice). */
  async text(): Promise<string> {
    const { content } = (await this.done).message;
    return typeof content === "string" ? content : this.written.join("");
  }

  /** By hand: some engines of React Native know no asynchronous generators. */
  [Symbol.asyncIterator](): AsyncIterator<TurnEvent, undefined> {
    let at = 0;
    const next = async (): Promise<IteratorResult<TurnEvent, undefined>> => {
      while (at >= this.events.length) {
        if (this.error) throw this.error;
        if (this.over) return { done: true, value: undefined };
        await new Promise<void>((resolve) => this.waiting.push(resolve));
      }
      return { done: false, value: this.events[at++]! };
    };
    return { next };
  }

  /** @internal */
  named(id: string): void {
    this.turnId = id;
    this.settle.id(id);
  }

  /** An event of its stream; one it had already is not told again. @internal */
  take(event: any): void {
    const [, id, number] = /^(.*)\.(\d+)$/.exec(event.event_id) ?? [];
    if (this.over || !id || +number! <= this.last) return;
    const missed = +number! > this.last + 1;
    this.last = +number!;
    this.lastId = event.event_id;
    if (!this.turnId) this.named(id);
    if (event.type === "done") this.finish(event, missed);
    else {
      if (event.type === "delta" && event.content && !event.index) this.written.push(event.content);
      this.tell(event);
    }
  }

  /** @internal */
  fail(error: ClawdbotError): void {
    if (this.over) return;
    this.over = true;
    this.error = error;
    platform.clearTimeout(this.pause);
    this.settle.fail(error);
    this.tell();
  }

  /** `missed`: of a stream that is only in the journal its reader is sent the end alone. */
  private finish(event: DoneEvent, missed: boolean): void {
    const whole = event.message?.content;
    const had = this.written.join("");
    if (missed && typeof whole === "string" && whole !== had && whole.startsWith(had)) {
      this.events.push({ type: "delta", event_id: event.event_id, content: whole.slice(had.length) });
    }
    this.over = true;
    this.settle.done(event);
    this.tell(event);
  }

  private tell(event?: TurnEvent): void {
    if (event) this.events.push(event);
    this.waiting.splice(0).forEach((resolve) => resolve());
  }
}
