// One conversation: what was said, on screen and at the server. Asking again and editing take the session back to the
// version before (the versions that came after stay) and go on from there; the way back is another such step.

import { h } from "./dom.js";
import { history, textOf, turnsOf } from "./history.js";
import { t } from "./strings.js";
import { TurnView } from "./turn_view.js";

const PAGE = 200;
const LONGEST_NAME = 60;

/** Whole characters of a question: half a one is none. */
const nameOf = (question) => [...question.replace(/\s+/g, " ").trim()].slice(0, LONGEST_NAME).join("");

export class Conversation {
  /** `app`: `{client, name, model(), say(text), sessions(), changed(conversation), why(view), branched(session),
   * words(error), open(id), grown()}`. Without an id it begins with the first question. */
  constructor(app, id = null) {
    this.app = app;
    this.id = id;
    this.name = "";
    this.element = h("ol", { class: "turns" });
    this._lines = [];
    this._tree = history([]);
    this._views = [];
    this.running = null;
    this._on = {
      again: (view) => this._again(view),
      edit: (view, text) => this._again(view, text),
      branch: (view) => this.branch({ version: view.node.version }),
      why: (view) => app.why(view),
      turnTo: (view, node) => this.restore({ version: node.newest }),
      retry: (view) => this._retry(view),
    };
  }

  /** The SDK's turn that is being answered: meanwhile nothing else can be asked. */
  get running() {
    return this._running;
  }

  set running(turn) {
    this._running = turn;
    for (const view of this._views) view.busy(turn !== null);
  }

  get version() {
    return this._tree.last;
  }

  get empty() {
    return this._views.length === 0;
  }

  /** Reads it from the server and shows it. */
  async load() {
    const { client } = this.app;
    const [session, lines] = await Promise.all([client.sessions.read(this.id), this._allLines()]);
    this._lines = lines;
    this._show(session);
  }

  async _allLines() {
    const found = [];
    let before;
    do {
      const page = await this.app.client.sessions.versions(this.id, { limit: PAGE, before });
      found.push(...page.versions);
      before = page.next ?? undefined;
    } while (before !== undefined);
    return found;
  }

  knows(turnId) {
    return this._lines.some((line) => line.turn_id === turnId) || this._views.some((view) => view.turnId === turnId);
  }

  _show(session) {
    this.name = session.name ?? "";
    this._tree = history(this._lines);
    const turns = turnsOf(session.context_stack, this._tree.path);
    this._views = turns.map(({ node, messages }) => {
      const view = this._view(textOf(messages.find((message) => message.role === "user")?.content));
      view.messages = messages;
      view.turnId = node?.turnId ?? null;
      view.finish(messages.filter((message) => message.role !== "user"));
      view.place(node);
      return view;
    });
    const elements = this._views.map((view) => view.element);
    if (this._tree.origin && turns.some(({ node }) => node === null)) {
      const place = turns.findIndex(({ node }) => node !== null);
      elements.splice(place < 0 ? elements.length : place, 0, this._origin(this._tree.origin));
    }
    this.element.replaceChildren(...elements);
    this._mark();
    this.app.changed(this);
  }

  _origin({ session_id: id }) {
    const open = h("button", { type: "button", class: "link", onclick: () => this.app.open(id) }, t("openOrigin"));
    return h("li", { class: "divider" }, h("span", {}, t("fromOther"), " ", open));
  }

  /** A conversation that was taken back says that there is more. */
  _mark() {
    this.element.querySelector(".more")?.remove();
    const { now } = this._tree;
    if (this.running || now.onward === undefined) return;
    const show = h("button", { type: "button", class: "link", onclick: () => this.restore({ version: now.onward }) }, t("showNewest"));
    this.element.append(h("li", { class: "divider more" }, h("span", {}, t("backTo"), " ", show)));
  }

  _view(question, elsewhere = false) {
    const view = new TurnView({ question, name: this.app.name, on: this._on, grown: () => this.app.grown(), elsewhere });
    view.busy(this.running !== null);
    return view;
  }

  /** Asks a question; resolves once the answer is over, however. */
  ask(text, { messages, fresh = false } = {}) {
    const view = this._view(text);
    view.messages = messages ?? [{ role: "user", content: text }];
    this._append(view);
    const asked = messages ? { messages: messages.filter((message) => message.role === "user") } : { message: text };
    const turn = this.app.client.chat({
      ...asked,
      ...(this.id ? { session_id: this.id } : {}),
      ...(this.app.model() ? { model: this.app.model() } : {}),
      ...(fresh ? { cache: "no-cache" } : {}),
    });
    return this._follow(view, turn);
  }

  /** Shows a turn that runs already: one of before a reload, or of another window. */
  async follow(question, turn, elsewhere) {
    const view = this._view(question, elsewhere);
    view.messages = [{ role: "user", content: question }];
    this._append(view);
    await this._follow(view, turn);
  }

  stop() {
    this.running?.cancel();
  }

  _append(view) {
    this.element.querySelector(".more")?.remove();
    this._views.push(view);
    this.element.append(view.element);
    this.app.grown(true);
  }

  async _follow(view, turn) {
    this.running = turn;
    this.app.changed(this);
    try {
      for await (const event of turn) {
        if (event.type === "start") this._began(view, event);
        view.take(event);
      }
      this.running = null;
      this.app.say(t("answered", { name: this.app.name, text: view.text }));
      await this._kept(view);
    } catch (error) {
      this.running = null;
      if (this.version === 0) this.id = null; // its first turn was not kept, so there is no session
      const words = this.app.words(error);
      view.fail(error, words);
      this._mark(); // what it was asked in place of is still there
      if (error.code !== "closed") this.app.say(error.code === "cancelled" ? t("stopped") : words); // they have gone
    } finally {
      this.running = null;
      this.app.changed(this);
    }
  }

  _began(view, event) {
    this.id ??= event.session_id;
    this.app.began(this, view, event);
    this.app.changed(this);
  }

  /** After a turn: its version, and a name if there is none. */
  async _kept(view) {
    try {
      const listed = (await this.app.sessions()).find((session) => session.session_id === this.id);
      if (listed?.version === this.version + 1) {
        this._line({ action: "turn", turn_id: view.turnId, messages: 2 });
        view.place(this._tree.now);
      } else {
        await this.load();
      }
      if (!this.name) await this.rename(nameOf(view.question));
    } catch (error) {
      this.app.complain(error);
    }
  }

  _line(about) {
    this._lines.push({ version: this.version + 1, ...about });
    this._tree = history(this._lines);
    // The nodes are new ones: the views are told theirs.
    const known = [...this._tree.path].reverse();
    [...this._views].reverse().filter((view) => !view.failure).forEach((view, place) => known[place] && view.place(known[place]));
  }

  async rename(name) {
    const session = await this.app.client.sessions.update(this.id, { name });
    this.name = session.name ?? name;
    if (session.version === this.version + 1) this._line({ action: "patched" });
    this.app.renamed(this);
  }

  /** Takes the session to a version or a snapshot and shows it. False: another window was quicker. */
  async restore(place) {
    try {
      const session = await this.app.client.sessions.restore(this.id, { ...place, if_version: this.version });
      const version = place.version ?? (await this._versionOf(place.snapshot));
      this._lines.push({ version: session.version, action: "restored", of: { version } });
      this._show(session);
      return true;
    } catch (error) {
      await this._overtaken(error);
      return false;
    }
  }

  async _versionOf(snapshot) {
    return (await this.app.client.sessions.snapshots(this.id).read(snapshot)).version;
  }

  async _overtaken(error) {
    if (error.code !== "conflict") return this.app.complain(error);
    await this.load();
    this.app.notify(t("changedElsewhere"));
  }

  async branch(place) {
    try {
      this.app.branched(await this.app.client.sessions.branch(this.id, place));
    } catch (error) {
      this.app.complain(error);
    }
  }

  /** Another answer to a question, or another question in its place. */
  async _again(view, text = null) {
    if (this.running) return;
    if (view.failure) return this._retry(view, text);
    if (!(await this.restore({ version: view.node.parent.version }))) return;
    const messages = text === null && typeof view.messages[0]?.content !== "string" ? view.messages : undefined;
    await this.ask(text ?? view.question, { messages, fresh: true });
  }

  /** A turn that failed left nothing behind: it is asked again. */
  async _retry(view, text = null) {
    if (this.running) return;
    view.element.remove();
    this._views = this._views.filter((each) => each !== view);
    await this.ask(text ?? view.question, { fresh: true });
  }
}
