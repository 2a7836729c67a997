// The shapes of docs/api.md, docs/websocket.md and docs/sessions.md, under their own names.

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
  metadata: { last_active: number; model_version: string; model_changes?: Json[]; snapshots?: number; layers?: string[] };
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
  refusal?: { code: string; message: string } | null;
}

export interface Model {
  id: string;
  object: "model";
  created: number;
  owned_by: string;
}
