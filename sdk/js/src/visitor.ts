import { told } from "./errors";
import { parsed, request } from "./http";
import { platform, type FetchLike, type StorageLike } from "./platform";

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

interface Ticket {
  token: string;
  visitor: string;
  expires: number;
  /** From when on a new one is asked for. */
  stale: number;
}

const EARLY = 60; // seconds before its end; of a short life half

/** @internal */
export const origin = (given?: string): string => (given ?? platform.location?.origin ?? "").replace(/\/+$/, "");

/** A token function for `new Clawdbot`. */
export function visitor({ baseUrl, tenant, store = kept(), fetch }: VisitorOptions): VisitorToken {
  const base = origin(baseUrl);
  const place = "clawdbot:" + tenant + "@" + base;
  let ticket = read(store, place);
  let asking: Promise<string> | undefined;

  async function ask(): Promise<string> {
    const response = await request(fetch, base + "/api/visitors", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(ticket ? { tenant, previous: ticket.token } : { tenant }),
    });
    const said = await parsed(response);
    if (!response.ok) throw told(said?.error, response.status);
    const { token, expires_in: life } = said;
    const expires = Date.now() + life * 1000;
    ticket = { token, visitor: said.visitor, expires, stale: expires - Math.min(EARLY, life / 2) * 1000 };
    try {
      store?.setItem(place, JSON.stringify(ticket));
    } catch {
      // full, or forbidden: this visitor will be a new one next time
    }
    return token;
  }

  const token = async (renew?: boolean): Promise<string> => {
    if (!renew && ticket && ticket.stale > Date.now()) return ticket.token;
    return (asking ??= ask().finally(() => (asking = undefined)));
  };
  return Object.defineProperty(token, "expires", { get: () => ticket?.expires ?? 0 }) as VisitorToken;
}

/** Reading the property alone fails where a page may store nothing. */
function kept(): StorageLike | undefined {
  try {
    return platform.localStorage;
  } catch {
    return undefined;
  }
}

function read(store: StorageLike | null | undefined, place: string): Ticket | undefined {
  try {
    return JSON.parse(store?.getItem(place) ?? "null") ?? undefined;
  } catch {
    return undefined;
  }
}
