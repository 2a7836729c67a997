// Who is using the page: a member (signed in here, or at the console) or a visitor; and the token of the moment.

import { Clawdbot } from "../sdk/clawdbot.js";
import { storage } from "./dom.js";

const EARLY = 60; // seconds before its end a token is renewed

/** A refusal of the server's, with its `code` and text. */
export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export class Account {
  constructor(site) {
    this.site = site;
    this.kind = null; // "member" or "visitor" once one is known
    this.username = "";
    this._store = storage("sessionStorage");
    this._place = `clawdbot.member.${site.tenant ?? ""}`;
    this._tokens = null;
    this._visitor = null;
    this._renewing = null;
    // The SDK opens a new connection before the present one's token ends.
    Object.defineProperty(this.token, "expires", { get: () => this._expires });
  }

  get _expires() {
    if (this.kind === "visitor") return this._visitor.expires;
    return this._tokens ? expiry(this._tokens.access) * 1000 : 0;
  }

  /** Under what the browser keeps what is theirs. */
  get place() {
    return JSON.stringify([this.site.tenant ?? "", this.kind, this.username]);
  }

  /** Finds out who is there. False: somebody has to sign in. */
  async begin() {
    const kept = JSON.parse(this._store.getItem(this._place) ?? "null");
    if (kept !== null) return this._member(kept, kept.username);
    if (this.site.member && (await this._fromConsole())) return true;
    return this.visit();
  }

  /** Goes on as a visitor, where the tenant allows it. */
  visit() {
    if (!this.site.visitors || !this.site.tenant) return false;
    this.kind = "visitor";
    this.username = "";
    this._visitor = Clawdbot.visitor({ baseUrl: location.origin, tenant: this.site.tenant, store: storage("localStorage") });
    return true;
  }

  /** Raises Refused. */
  async signIn(username, password, tenant, otp) {
    const tokens = await post("/api/token/", { username, password, ...(tenant ? { tenant } : {}), ...(otp ? { otp } : {}) });
    this._member(tokens, username);
  }

  signOut() {
    this._store.removeItem(this._place);
    this._tokens = null;
    this.kind = null;
  }

  /** For the SDK, which asks anew for each connection; with `renew` where the present one was refused. */
  token = async (renew = false) => {
    if (this.kind === "visitor") return this._visitor(renew);
    if (this._tokens === null) throw new Refused(401, "unauthenticated", "");
    if (renew || expiry(this._tokens.access) - Date.now() / 1000 < EARLY) {
      this._renewing ??= this._renew().finally(() => (this._renewing = null));
      await this._renewing;
    }
    return this._tokens.access;
  };

  async _renew() {
    try {
      const renewed = await post("/api/token/refresh/", { refresh: this._tokens.refresh });
      this._member({ ...this._tokens, ...renewed }, this.username);
    } catch (error) {
      if (!(error instanceof Refused) || error.status >= 500) throw error;
      if (!this.site.member || !(await this._fromConsole())) {
        this.signOut();
        throw error;
      }
    }
  }

  async _fromConsole() {
    try {
      return this._member(await post("/chat/token", { tenant: this.site.tenant }, { "X-CSRFToken": this.site.csrf ?? "" }), this.site.member.username);
    } catch (error) {
      if (error instanceof Refused && error.status < 500) return false;
      throw error;
    }
  }

  _member({ access, refresh }, username) {
    this.kind = "member";
    this.username = username;
    this._tokens = { access, refresh };
    this._store.setItem(this._place, JSON.stringify({ access, refresh, username }));
    return true;
  }
}

async function post(path, body, headers = {}) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json", ...headers },
    body: JSON.stringify(body),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, answer.error?.code ?? "", answer.error?.message ?? "");
  return answer;
}

/** When a token ends, in Unix seconds; 0 where it does not say. */
function expiry(token) {
  try {
    const [, claims] = token.split(".");
    return JSON.parse(atob(claims.replaceAll("-", "+").replaceAll("_", "/"))).exp ?? 0;
  } catch {
    return 0;
  }
}
