/** What the gateway, or the SDK itself, says went wrong. `code` is stable: see docs/errors.md. */
export class ClawdbotError extends Error {
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

  constructor(code: string, message: string, about: Partial<ClawdbotError> = {}) {
    super(message);
    this.name = "ClawdbotError";
    this.code = code;
    this.retryable = !!about.retryable;
    this.requestId = about.requestId;
    this.turnId = about.turnId;
    this.running = about.running;
    this.status = about.status;
  }
}

/** Of an `error` event, or of the `error` in an answer's body. @internal */
export function told(error: any, status?: number, turnId?: string | null): ClawdbotError {
  return new ClawdbotError(error?.code ?? "http_" + status, error?.message ?? "HTTP " + status, {
    retryable: error?.retryable ?? (status === 429 || status! > 500),
    requestId: error?.request_id,
    turnId: error?.turn_id ?? turnId ?? undefined,
    running: error?.running,
    status,
  });
}

/** @internal */
export const offline = (error: unknown): ClawdbotError =>
  new ClawdbotError("network", String((error as Error)?.message ?? error), { retryable: true, status: 0 });
