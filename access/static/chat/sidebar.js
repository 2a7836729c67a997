// The list of conversations: newest first, by days, found by name, renamed and deleted.

import { askName, confirm } from "./dialogs.js";
import { h, icon, iconButton } from "./dom.js";
import { t } from "./strings.js";

const PAGE = 50;
const DAY = 86_400_000;

export class Sidebar {
  /** `on`: `{open(id), begin(), deleted(id), rename(id, name), notify(text), complain(error), close()}`. */
  constructor(on, foot) {
    this._on = on;
    this._client = null;
    this._sessions = [];
    this._cursor = null;
    this._current = null;
    this._search = h("input", { type: "search", id: "search", placeholder: t("search"), oninput: () => this._show() });
    this._list = h("div", { class: "sessions" });
    this._more = h("button", { type: "button", class: "button", hidden: true, onclick: () => this._older() }, t("older"));
    this.element = h(
      "nav",
      { class: "sidebar", id: "sidebar", "aria-label": t("conversations") },
      h(
        "div",
        { class: "sidebar-head" },
        h("button", { type: "button", class: "button new", onclick: () => on.begin() }, icon("new"), t("newChat")),
        iconButton("close", t("closeConversations"), () => on.close(), { class: "icon-button drawer-only" }),
      ),
      h("div", { class: "search" }, h("label", { for: "search", class: "off-screen" }, t("search")), icon("search"), this._search),
      h("div", { class: "scroll", tabindex: "-1" }, this._list, this._more),
      foot,
    );
  }

  /** From now on for whoever this client speaks: of somebody before nothing stays. */
  serve(client) {
    this._client = client;
    this._sessions = [];
    this._cursor = null;
    this._search.value = "";
    this._show();
  }

  mark(id) {
    this._current = id;
    for (const row of this._list.querySelectorAll("[data-id]")) {
      if (row.dataset.id === id) row.setAttribute("aria-current", "page");
      else row.removeAttribute("aria-current");
    }
  }

  /** Reads the newest again; gives them. */
  async refresh() {
    const client = this._client;
    const page = await client.sessions.list({ limit: PAGE });
    if (client !== this._client) return []; // somebody else is there by now
    const fresh = new Set(page.sessions.map((session) => session.session_id));
    const older = this._sessions.slice(PAGE).filter((session) => !fresh.has(session.session_id));
    if (older.length === 0) this._cursor = page.next_cursor;
    this._sessions = [...page.sessions, ...older];
    this._show();
    return page.sessions;
  }

  renamed(id, name) {
    const session = this._sessions.find((each) => each.session_id === id);
    if (session) session.name = name;
    this._show();
  }

  gone(id) {
    this._sessions = this._sessions.filter((session) => session.session_id !== id);
    this._show();
  }

  async _older() {
    try {
      const client = this._client;
      const page = await client.sessions.list({ limit: PAGE, cursor: this._cursor });
      if (client !== this._client) return;
      const known = new Set(this._sessions.map((session) => session.session_id));
      this._sessions.push(...page.sessions.filter((session) => !known.has(session.session_id)));
      this._cursor = page.next_cursor;
      this._show();
    } catch (error) {
      this._on.complain(error);
    }
  }

  _show() {
    const focused = document.activeElement?.closest?.("[data-id]")?.dataset.id;
    const wanted = this._search.value.trim().toLocaleLowerCase();
    const found = this._sessions.filter((session) => (session.name ?? "").toLocaleLowerCase().includes(wanted));
    const groups = new Map();
    for (const session of found) {
      const group = groupOf(session.metadata.last_active * 1000);
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push(session);
    }
    const shown = [...groups].map(([group, sessions]) =>
      h("section", {}, h("h2", {}, t(group)), h("ul", {}, sessions.map((session) => this._row(session)))),
    );
    const none = h("p", { class: "quiet" }, this._sessions.length ? t("noMatches") : t("noConversations"));
    this._list.replaceChildren(...(found.length ? shown : [none]));
    this._more.hidden = this._cursor === null;
    this.mark(this._current);
    if (focused) this._list.querySelector(`[data-id="${CSS.escape(focused)}"]`)?.focus();
  }

  _row({ session_id: id, name }) {
    const title = name || t("untitled");
    const options = iconButton("more", t("options", { name: title }), () => this._options(options, id, title), { "aria-haspopup": "menu", "aria-expanded": "false" });
    return h("li", {}, h("button", { type: "button", class: "session", "data-id": id, onclick: () => this._on.open(id) }, title), options);
  }

  _options(button, id, name) {
    menu(button, [
      [t("rename"), "edit", () => this.rename(id, name)],
      [t("delete"), "delete", () => this.delete(id, name)],
    ]);
  }

  async rename(id, name) {
    const given = await askName(t("renameTitle"), name);
    if (given === null) return;
    try {
      await this._on.rename(id, given);
      this._on.notify(t("renamed", { name: given }));
    } catch (error) {
      this._on.complain(error);
    }
  }

  async delete(id, name) {
    if (!(await confirm(t("deleteTitle"), t("deleteText", { name }), t("delete")))) return;
    try {
      await this._client.sessions.delete(id);
      this.gone(id);
      this._on.deleted(id);
      this._on.notify(t("deleted"));
    } catch (error) {
      this._on.complain(error);
    }
  }
}

function groupOf(at) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  if (at >= midnight) return "today";
  if (at >= midnight - DAY) return "yesterday";
  return at >= midnight - 6 * DAY ? "week" : "before";
}

/** A menu below a button: arrows move in it, Esc and Tab leave it. `items`: `[label, icon, action]`. */
export function menu(button, items) {
  const close = (focus = true) => {
    element.remove();
    button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside, true);
    if (focus) button.focus();
  };
  const outside = (event) => !element.contains(event.target) && close(false);
  const entries = items.map(([label, name, action]) =>
    h(
      "button",
      {
        type: "button",
        role: "menuitem",
        tabindex: "-1",
        onclick: () => {
          close();
          action();
        },
      },
      icon(name),
      label,
    ),
  );
  const element = h(
    "div",
    {
      class: "menu",
      role: "menu",
      onkeydown: (event) => {
        const place = entries.indexOf(document.activeElement);
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (step) entries[(place + step + entries.length) % entries.length].focus();
        else if (event.key === "Escape" || event.key === "Tab") close();
        else return;
        event.preventDefault();
        event.stopPropagation();
      },
    },
    entries,
  );
  (button.closest("main, nav") ?? document.body).append(element); // within a landmark, where screen readers look for it
  const { left, bottom, right } = button.getBoundingClientRect();
  const width = element.offsetWidth;
  element.style.left = `${Math.max(8, Math.min(left, innerWidth - width - 8, Math.max(right - width, left)))}px`;
  element.style.top = `${Math.min(bottom + 4, innerHeight - element.offsetHeight - 8)}px`;
  button.setAttribute("aria-expanded", "true");
  document.addEventListener("pointerdown", outside, true);
  entries[0].focus();
}
