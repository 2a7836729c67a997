import { ClawdbotError, offline, told } from "./errors";
import { platform, type FetchLike, type ResponseLike } from "./platform";

/**
 * `renew`: the last token was refused, so one that is kept must not be given again. `expires`: when the last one
 * does, in milliseconds since 1970. Where it is there, the connection is opened anew with a newer one up to 45 seconds before.
 */
export type TokenSource = string | (((renew?: boolean) => string | Promise<string>) & { readonly expires?: number });

/** `{a: 1, b: undefined}` as `?a=1`. @internal */
export function query(fields: Record<string, unknown>): string {
  const given = Object.entries(fields).filter(([, value]) => value != null);
  return given.length ? "?" + given.map(([name, value]) => name + "=" + encodeURIComponent(String(value))).join("&") : "";
}

/** A parsed body, or nothing where there is no JSON. @internal */
export async function parsed(response: ResponseLike): Promise<any> {
  try {
    return JSON.parse(await response.text());
  } catch {
    return undefined;
  }
}

/** Calls of the HTTP API with the caller's token. @internal */
export class Http {
  constructor(
    readonly base: string,
    private source: TokenSource,
    private language?: string,
    private fetching?: FetchLike,
  ) {}

  async token(renew?: boolean): Promise<string> {
    return typeof this.source === "function" ? this.source(renew) : this.source;
  }

  /** An answer with a good status; ClawdbotError otherwise. A token that is refused is renewed once. */
  async open(
    method: string,
    path: string,
    given: { body?: unknown; text?: string; headers?: Record<string, string>; signal?: unknown } = {},
    renew?: boolean,
  ): Promise<ResponseLike> {
    const headers: Record<string, string> = { Authorization: "Bearer " + (await this.token(renew)), ...given.headers };
    const body = given.text ?? (given.body === undefined ? undefined : JSON.stringify(given.body));
    if (body) headers["Content-Type"] = "application/json";
    if (this.language) headers["Accept-Language"] = this.language;
    const response = await request(this.fetching, this.base + path, {
      method,
      headers,
      body,
      signal: given.signal,
    });
    if (response.ok) return response;
    if (response.status === 401 && !renew && typeof this.source === "function") {
      return this.open(method, path, given, true);
    }
    throw told((await parsed(response))?.error, response.status, response.headers.get("X-Clawdbot-Decision"));
  }

  async json(method: string, path: string, body?: unknown): Promise<any> {
    return parsed(await this.open(method, path, { body }));
  }
}

/** `fetch` whose failure is a ClawdbotError `network`. @internal */
export async function request(given: FetchLike | undefined, ...call: Parameters<FetchLike>): Promise<ResponseLike> {
  const fetching = given ?? platform.fetch;
  if (!fetching) throw new ClawdbotError("network", "There is no fetch here: give one.");
  try {
    return await fetching(...call);
  } catch (error) {
    throw offline(error);
  }
}
