// The web chat, as a page and inside the widget's frame: wires who is using it, what is open and what is shown.

import { Clawdbot } from "../sdk/clawdbot.js";
import { Account } from "./account.js";
import { Composer } from "./composer.js";
import { Conversation } from "./conversation.js";
import { h, icon, iconButton, storage } from "./dom.js";
import { Embedding } from "./embedding.js";
import { textOf } from "./history.js";
import { Sidebar, menu } from "./sidebar.js";
import { signInForm } from "./sign_in.js";
import { showSnapshots } from "./snapshots.js";
import { locale, speak, t } from "./strings.js";
import { paint } from "./theme.js";
import { Thread } from "./thread.js";
import { showWhy } from "./why.js";

const SESSION_ID = /^(?!\.+$)[\w.-]{1,128}$/;
const NOTICE_TIME = 5_000;
const OWN_WORDS = { network: "errorNetwork", unauthenticated: "errorExpired" };

class App {
  constructor(site, embedding) {
    this.site = site;
    this.name = site.name;
    this.embedding = embedding;
    this.account = new Account(site);
    this.client = null;
    this._alive = new Map(); // conversations that are being answered, by id
    this._session = storage("sessionStorage");
    this._opening = 0; // how often something was asked to be shown
    this._build();
  }

  // The page ----------------------------------------------------------------------------------------------------------

  _build() {
    this._foot = h("div", { class: "sidebar-foot" });
    this.sidebar = new Sidebar(
      {
        open: (id) => this.open(id),
        begin: () => this.begin(),
        deleted: (id) => this.shown.id === id && this.begin(),
        rename: (id, name) => this._rename(id, name),
        notify: (text) => this.notify(text),
        complain: (error) => this.complain(error),
        close: () => this._drawer(false),
      },
      this._foot,
    );
    this.thread = new Thread(this._greeting());
    this.composer = new Composer({ send: (text) => this._send(text), stop: () => this.shown.stop() });
    this._title = h("h1", {}, this.name);
    this._models = h("select", { id: "model", "aria-label": t("model"), onchange: () => this._session.setItem("clawdbot.model", this._models.value) });
    this._opener = iconButton("menu", t("openConversations"), () => this._drawer(true), { class: "icon-button drawer-opener", "aria-controls": "sidebar", "aria-expanded": "false" });
    this._more = iconButton("more", t("options", { name: this.name }), () => this._menu(), { "aria-haspopup": "menu", "aria-expanded": "false", hidden: true });
    this._state = h("p", { class: "state", role: "status", hidden: true });
    this._notice = h("div", { class: "notices", popover: "manual", role: "region", "aria-label": t("announcements") }); // above dialogs too
    this._veil = h("div", { class: "veil", onclick: () => this._drawer(false) });
    this.element = h(
      "div",
      { class: "app" },
      h("a", { class: "skip", href: "#thread", onclick: (event) => this._skip(event) }, t("skip")),
      this.sidebar.element,
      this._veil,
      h(
        "main",
        { class: "main", id: "content" },
        h("header", { class: "head" }, this._opener, this._title, h("div", { class: "head-tools" }, this._models, this._more, this.embedding.closer())),
        this._state,
        this.thread.frame,
        h("footer", { class: "foot" }, this.composer.element, h("p", { class: "hint", id: "hint" }, t("hint"))),
        this._notice,
      ),
    );
    addEventListener("keydown", (event) => this._key(event));
    addEventListener("hashchange", () => this._byAddress());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.client && this._refresh());
  }

  _greeting() {
    return h("div", { class: "greeting" }, h("div", { class: "mark" }, icon("chat")), h("p", { class: "name" }, this.name), this.site.greeting && h("p", {}, this.site.greeting));
  }

  _key(event) {
    if (event.key !== "Escape" || event.isComposing || document.querySelector("dialog[open], .menu")) return;
    if (this.element.classList.contains("open")) this._drawer(false);
    else if (this.shown?.running) this.shown.stop();
    else this.embedding.close();
  }

  _skip(event) {
    event.preventDefault(); // the address names the conversation
    this.thread.element.focus();
  }

  _drawer(open) {
    if (this.element.classList.contains("open") === open) return;
    this.element.classList.toggle("open", open);
    this._opener.setAttribute("aria-expanded", String(open));
    if (open) this.sidebar.element.querySelector("button").focus();
    else this._opener.focus();
  }

  _menu() {
    const { shown } = this;
    menu(this._more, [
      [t("snapshots"), "history", () => this._snapshots(shown)],
      [t("branch"), "branch", () => shown.branch({})],
      [t("rename"), "edit", () => this.sidebar.rename(shown.id, shown.name || t("untitled"))],
      [t("delete"), "delete", () => this.sidebar.delete(shown.id, shown.name || t("untitled"))],
    ]);
  }

  async _snapshots(conversation) {
    try {
      await showSnapshots(this.client, conversation, this);
    } catch (error) {
      this.complain(error);
    }
  }

  // Who it is ---------------------------------------------------------------------------------------------------------

  async start() {
    let known = false;
    try {
      known = await this.account.begin();
    } catch (error) {
      this.complain(error);
    }
    if (known) this._enter();
    else this._ask();
  }

  _ask(reason = "", back = null) {
    this.client?.close();
    this.client = null;
    document.title = this.name;
    root.replaceChildren(signInForm(this.site, this.account, () => this._enter(), { reason, back }));
    document.querySelector("#username").focus();
  }

  _enter() {
    this.client?.close();
    this.client = new Clawdbot({ baseUrl: location.origin, token: this.account.token, language: document.documentElement.lang });
    this.client.on("state", (state) => this._connection(state));
    this._alive.clear();
    this.sidebar.serve(this.client);
    this.composer.serve(this.account.place);
    this.thread.forget();
    this._place = `clawdbot.running.${this.account.place}`;
    this._showWho();
    root.replaceChildren(this.element);
    this._refresh();
    this._loadModels();
    this._show(new Conversation(this));
    this._byAddress();
    this.composer.field.focus();
  }

  _showWho() {
    const member = this.account.kind === "member";
    const leave = () => {
      this._session.removeItem(this._place);
      this.account.signOut();
      this.embedding.opened(null);
      this.site.member = null;
      history.replaceState(null, "", location.pathname + location.search);
      if (!this.account.visit()) this._ask();
      else this._enter();
    };
    this._foot.replaceChildren(
      h("span", { class: "who" }, member ? t("signedInAs", { name: this.account.username }) : t("guest")),
      member
        ? iconButton("leave", t("signOut"), leave)
        : h("button", { type: "button", class: "link", onclick: () => this._ask("", () => this._enter()) }, t("signIn")),
    );
  }

  async _loadModels() {
    const kept = this._session.getItem("clawdbot.model") ?? "";
    const option = (value, name) => h("option", { value }, name);
    this._models.replaceChildren(option("", t("automatic")));
    try {
      const { data } = await this.client.models();
      this._models.append(...data.filter(({ id }) => id !== "auto").map(({ id }) => option(id, id)));
    } catch {
      // Without the list the rules decide, as they do unless told.
    }
    this._models.value = kept;
    if (this._models.selectedIndex < 0) this._models.value = "";
  }

  model = () => this._models.value;

  // Conversations -----------------------------------------------------------------------------------------------------

  begin(focus = true) {
    this._show(new Conversation(this));
    this._address("");
    if (focus) this.composer.field.focus();
  }

  async open(id) {
    if (this.shown?.id === id && !this.shown.empty) return this._drawer(false);
    const running = this._alive.get(id);
    if (running) {
      this._show(running);
      return this._address(id);
    }
    const conversation = new Conversation(this, id);
    const opening = ++this._opening;
    const kept = this._kept();
    const unfinished = kept?.session_id === id;
    try {
      if (!unfinished || !kept.first) await conversation.load(); // before its first turn is over there is no session
    } catch (error) {
      if (opening !== this._opening) return;
      this.notify(error.code === "session_not_found" ? t("missing") : this.words(error));
      if (this.shown?.id !== id) this._address(this.shown?.id ?? "");
      return;
    }
    if (opening !== this._opening) return; // something else was wanted meanwhile
    this._show(conversation);
    this._address(id);
    if (unfinished && !conversation.knows(kept.turn_id)) conversation.follow(kept.question, this.client.resume(kept.turn_id));
  }

  _show(conversation) {
    this._opening++;
    if (this.shown?.id && !this.shown.running) this.client.unwatch(this.shown.id);
    this.shown = conversation;
    this.thread.show(conversation);
    this.composer.show(conversation.id);
    this._drawer(false);
    this.changed(conversation);
    if (conversation.id) this._watch(conversation);
  }

  _watch(conversation) {
    const elsewhere = ({ turn_id: id, messages, turn }) => {
      if (this.shown !== conversation || conversation.running || conversation.knows(id)) return;
      const asked = messages.findLast((message) => message.role === "user");
      conversation.follow(textOf(asked?.content), turn, true);
    };
    this.client.watch(conversation.id, elsewhere).catch(() => {}); // a session that is just beginning is watched by asking
  }

  /** A conversation's first event of a turn: what a reload needs to find it again. */
  began(conversation, view, event) {
    this._alive.set(conversation.id, conversation);
    const unfinished = { session_id: conversation.id, turn_id: event.id, question: view.question, first: conversation.version === 0 };
    this._session.setItem(this._place, JSON.stringify(unfinished));
    if (this.shown === conversation) {
      this.composer.moved(conversation.id);
      this._address(conversation.id);
      this._watch(conversation);
    }
  }

  /** Its name, its state or its turns are others now. */
  changed(conversation) {
    if (!conversation.running) {
      if (this._alive.delete(conversation.id)) this._session.removeItem(this._place);
    }
    if (this.shown !== conversation) return;
    this.thread.refresh(conversation);
    this.composer.running(conversation.running !== null);
    this._title.textContent = conversation.name || this.name;
    this._more.hidden = conversation.id === null || conversation.running !== null;
    this._more.setAttribute("aria-label", t("options", { name: conversation.name || t("untitled") }));
    document.title = conversation.name ? `${conversation.name} · ${this.name}` : this.name;
    this.sidebar.mark(conversation.id);
  }

  renamed(conversation) {
    this.sidebar.renamed(conversation.id, conversation.name);
    this.changed(conversation);
  }

  async _rename(id, name) {
    if (this.shown.id === id) return this.shown.rename(name);
    await this.client.sessions.update(id, { name });
    this.sidebar.renamed(id, name);
  }

  async branched(session) {
    await this._refresh();
    await this.open(session.session_id);
    this.notify(t("branched"));
  }

  async _send(text) {
    this.thread.say(t("youAsked", { text }));
    await this.shown.ask(text);
  }

  async why(view) {
    try {
      await showWhy(await this.client.turn(view.turnId));
    } catch (error) {
      this.complain(error);
    }
  }

  sessions = () => this.sidebar.refresh();

  async _refresh() {
    try {
      await this.sidebar.refresh();
    } catch (error) {
      this.complain(error);
    }
  }

  _kept() {
    return JSON.parse(this._session.getItem(this._place) ?? "null");
  }

  _address(id) {
    this.embedding.opened(id);
    const address = location.pathname + location.search + (id ? `#${id}` : "");
    if (location.pathname + location.search + location.hash !== address) history.pushState(null, "", address);
  }

  _byAddress() {
    const named = location.hash.slice(1);
    const id = (SESSION_ID.test(named) && named) || this.embedding.last() || this._kept()?.session_id;
    if (id && this.shown.id !== id) this.open(id);
    else if (!location.hash && this.shown.id !== null) this.begin(false);
  }

  // Words -------------------------------------------------------------------------------------------------------------

  say = (text) => this.thread.say(text);

  grown = (jump) => this.thread.grown(jump);

  _connection(state) {
    const broken = state === "waiting" || (state === "connecting" && this._broken);
    if (this._broken && state === "open") this.notify(t("back"));
    this._broken = broken;
    this._state.hidden = !broken;
    this._state.textContent = broken ? t(navigator.onLine ? "reconnecting" : "offline") : "";
  }

  /** What an error means, in the language of the page. */
  words(error) {
    const own = OWN_WORDS[error.code];
    if (own) return t(own);
    return error.message || t("errorUnknown");
  }

  complain(error) {
    if (error.status === 401 && this.account.kind !== "visitor") return this._ask(t("signedOut"));
    if (!error.code) console.error(error);
    this.notify(this.words(error), "error");
  }

  notify(text, kind = "") {
    const notice = h("p", { class: `notice ${kind}` }, text);
    this._notice.append(notice);
    this.thread.say(text);
    if (this._notice.matches(":popover-open")) this._notice.hidePopover();
    this._notice.showPopover(); // once more: above what has been opened since
    setTimeout(() => {
      notice.remove();
      if (!this._notice.hasChildNodes()) this._notice.hidePopover();
    }, NOTICE_TIME);
  }
}

const root = document.getElementById("root");
const site = JSON.parse(document.getElementById("site").textContent);
site.language = new URLSearchParams(location.search).get("language") ?? site.language; // the widget's page may choose
speak(site.language);
document.documentElement.lang = locale();
paint(site.colors);
new App(site, new Embedding()).start();
