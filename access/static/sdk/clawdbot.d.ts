/*! Clawdbot SDK, generated from sdk/js: docs/sdk-js.md */
export interface AbortSignalLike {
    readonly aborted: boolean;
    addEventListener(type: "abort", listener: () => void): void;
}
export interface ResponseLike {
    readonly ok: boolean;
    readonly status: number;
    readonly headers: {
        get(name: string): string | null;
    };
    readonly body?: unknown;
    text(): Promise<string>;
}
export type FetchLike = (url: string, init: {
    method: string;
    headers: Record<string, string>;
    body?: string;
    signal?: any;
}) => Promise<ResponseLike>;
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

/** What the gateway, or the SDK itself, says went wrong. `code` is stable: see docs/errors.md. */
declare class ClawdbotError extends Error {
    /** A code of docs/errors.md, or the SDK's own: `network`, `queue_full`, `closed`. */
    readonly code: string;
    /** Whether the same may succeed later. */
    readonly retryable: boolean;
    readonly requestId?: string;
    /** The turn, where it is on record. */
    readonly turnId?: string;
    /** Of `idempotency_running`: the turn that answers it. */
    readonly running?: string;
    /** The HTTP status, where there was one; 0: no answer at all. */
    readonly status?: number;
    constructor(code: string, message: string, about?: Partial<ClawdbotError>);
}

export type Json = Record<string, any>;
export interface Message {
    role: "system" | "developer" | "user" | "assistant" | "tool" | "function";
    content?: string | Json[] | null;
    name?: string;
    tool_calls?: Json[];
    tool_call_id?: string;
    reasoning?: string | null;
    refusal?: string | null;
    [field: string]: any;
}
/** The body of `POST /api/chat`. */
export interface ChatRequest {
    message?: string;
    messages?: Message[];
    session_id?: string;
    model?: string;
    temperature?: number;
    max_tokens?: number;
    tools?: Json[];
    tool_choice?: string | Json;
    metadata?: Json;
    user?: string;
    user_profile?: Json;
    language?: string;
    /** Ask for a fresh answer, or that this one is not kept (docs/cache.md). */
    cache?: "no-cache" | "no-store";
    /** Yours, where the same question may be asked again after a restart; else one is made for every chat. */
    idempotency_key?: string;
    [field: string]: any;
}
export interface Usage {
    prompt_tokens: number;
    completion_tokens: number;
    total_tokens: number;
    estimated?: boolean;
    [field: string]: any;
}
export interface Route {
    instance: string;
    rules: string[];
    decision: string;
    source?: string;
}
export interface StartEvent {
    type: "start";
    event_id: string;
    id: string;
    session_id: string | null;
    model: string;
    source?: string;
    replayed?: boolean;
}
export interface DeltaEvent {
    type: "delta";
    event_id: string;
    /** Which choice, where several were asked for; absent: 0. */
    index?: number;
    content?: string;
    reasoning?: string;
    refusal?: string;
    tool_calls?: Json[];
}
export interface DoneEvent {
    type: "done";
    event_id: string;
    id: string;
    message: Message;
    usage: Usage;
    finish_reason: string;
    route: Route;
    choices?: Json[];
    /** What plugins have to say, by their names. */
    metadata?: Json;
}
export type TurnEvent = StartEvent | DeltaEvent | DoneEvent;
export interface SessionLine {
    session_id: string;
    user_profile: Json;
    metadata: {
        last_active: number;
        model_version: string;
        model_changes?: Json[];
        snapshots?: number;
        layers?: string[];
    };
    version: number;
    state: "live" | "archived" | "past";
    name?: string;
}
export interface Session extends SessionLine {
    context_stack: Message[];
    pinned?: [number, number][];
}
export interface SessionPage {
    sessions: SessionLine[];
    next_cursor: string | null;
}
export interface SessionChange {
    user_profile?: Json;
    name?: string;
    pinned?: [number, number][];
    if_version?: number;
}
/** A version's number, or a snapshot's id; neither: now, where that makes sense. */
export interface Place {
    version?: number;
    snapshot?: string;
}
/** What made a version: a `turn`, or `patched restored branched summarised unsummarised`. */
export interface VersionLine {
    version: number;
    at: number;
    action: string;
    turn_id: string;
    readable: boolean;
    messages?: number;
    by?: string;
    of?: Json;
    changed?: string[];
}
export interface Snapshot {
    id: string;
    version: number;
    name: string;
    tags: string[];
    at: number;
    automatic: boolean;
}
/** `GET /api/turns/{id}`: the record, and in `decision` why this model answered. */
export interface TurnRecord {
    id: string;
    state: "in_flight" | "completed" | "refused" | "failed" | "cancelled" | "aborted";
    erased: boolean;
    unreadable: boolean;
    decision: Json;
    retries: Json[];
    intent: Json;
    completion?: Json | null;
    partial: Json[];
}
/** `POST /api/route/explain`. */
export interface Decision {
    model: string | null;
    instance: string | null;
    rules: string[];
    candidates: Json[];
    features: Json;
    runner_up?: string | null;
    refusal?: {
        code: string;
        message: string;
    } | null;
}
export interface Model {
    id: string;
    object: "model";
    created: number;
    owned_by: string;
}

/**
 * `renew`: the last token was refused, so one that is kept must not be given again. `expires`: when the last one
 * does, in milliseconds since 1970. Where it is there, the connection is opened anew with a newer one up to 45 seconds before.
 */
export type TokenSource = string | (((renew?: boolean) => string | Promise<string>) & {
    readonly expires?: number;
});

/**
 * One question and its answer as it comes: `for await (const event of turn)`. Every loop gets all events from the first
 * on, so that a turn can be read more than once; leaving a loop does not stop the turn, `cancel` does.
 */
declare class Turn implements AsyncIterable<TurnEvent> {
    private client;
    /** Known with the `start` event; fails as the turn does. */
    readonly id: Promise<string>;
    /** The last event, which has the whole message; fails with the ClawdbotError the turn ended with. */
    readonly done: Promise<DoneEvent>;
    private events;
    private error?;
    private waiting;
    private written;
    private settle;
    /** Stops it, wherever it runs. It ends with the error `cancelled`. */
    cancel(): void;
    /** The whole answer as text (of its first choice). */
    text(): Promise<string>;
    /** By hand: some engines of React Native know no asynchronous generators. */
    [Symbol.asyncIterator](): AsyncIterator<TurnEvent, undefined>;
    /** `missed`: of a stream that is only in the journal its reader is sent the end alone. */
    private finish;
    private tell;
}

/**
 * `idle`: there is nothing to talk about; `connecting`; `open`; `waiting`: until the next attempt; `closed`: for good.
 */
export type State = "idle" | "connecting" | "open" | "waiting" | "closed";

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

/** Names for versions of one session. */
export interface Snapshots {
    list(page?: {
        limit?: number;
        cursor?: string;
    }): Promise<{
        snapshots: Snapshot[];
        next_cursor: string | null;
    }>;
    /** Of the version of now. */
    make(about?: {
        name?: string;
        tags?: string[];
    }): Promise<Snapshot>;
    read(snapshotId: string): Promise<Snapshot>;
    update(snapshotId: string, about: {
        name?: string;
        tags?: string[];
    }): Promise<Snapshot>;
}
/** `/api/sessions`: fields and answers are those of docs/api.md. */
export interface Sessions {
    list(page?: {
        limit?: number;
        cursor?: string;
    }): Promise<SessionPage>;
    read(id: string): Promise<Session>;
    update(id: string, change: SessionChange): Promise<Session>;
    delete(id: string): Promise<void>;
    versions(id: string, page?: {
        limit?: number;
        before?: number;
    }): Promise<{
        versions: VersionLine[];
        next: number | null;
    }>;
    /** The session as it was; the place is a version's number or a snapshot's id. */
    version(id: string, place: number | string): Promise<Session>;
    diff(id: string, between: {
        from: number | string;
        to?: number | string;
    }): Promise<Json>;
    restore(id: string, to: Place & {
        if_version?: number;
    }): Promise<Session>;
    branch(id: string, from?: Place & {
        session_id?: string;
    }): Promise<Session>;
    snapshots(id: string): Snapshots;
}

export interface VisitorOptions {
    /** The gateway; without it the page's own origin. */
    baseUrl?: string;
    /** The tenant's short name. */
    tenant: string;
    /** Where the ticket is kept, so that a visitor who returns finds their sessions; without it `localStorage`. */
    store?: StorageLike | null;
    fetch?: FetchLike;
}
/** A visitor's token, renewed before it expires. */
export interface VisitorToken {
    (renew?: boolean): Promise<string>;
    /** When the present one does, in milliseconds since 1970; 0: there is none yet. */
    readonly expires: number;
}
/** A token function for `new Clawdbot`. */
declare function visitor({ baseUrl, tenant, store, fetch }: VisitorOptions): VisitorToken;

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
declare class Clawdbot {
    private options;
    /** The token of an anonymous visitor, where the tenant allows them. */
    static readonly visitor: typeof visitor;
    static readonly Error: typeof ClawdbotError;
    readonly sessions: Sessions;
    private api;
    private dispatch;
    private listeners;
    private unhook;
    constructor(options: ClawdbotOptions);
    get state(): State;
    /** Opens the connection before there is anything to say, and keeps it. */
    connect(): void;
    /** Asks. The answer comes whatever becomes of the connection, once. Waits its turn while there is none. */
    chat(request: ChatRequest, { signal }?: {
        signal?: AbortSignalLike;
    }): Turn;
    /** A turn that runs or ran: its events after the given one, or all. */
    resume(turnId: string, lastEventId?: string): Turn;
    /** Turns of this session that begin elsewhere are told to `watcher` from now on. Settles with the gateway's answer. */
    watch(sessionId: string, watcher: Watcher, { user }?: {
        user?: string;
    }): Promise<void>;
    unwatch(sessionId: string): void;
    /** `state`: of the connection; `turn`: one that began elsewhere. Returns what ends it. */
    on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void;
    /** The record of a turn, with the decision which model answered. */
    turn(id: string): Promise<TurnRecord>;
    /** Which model would answer this, and why. */
    explain(request: ChatRequest): Promise<Decision>;
    models(): Promise<{
        object: "list";
        data: Model[];
    }>;
    /** For good: what is unfinished ends with the error `closed`. */
    close(): void;
    private tell;
}

export { Clawdbot, ClawdbotError };
export type { Turn };
