// Where questions are written. What is not sent yet is kept for each conversation, also over a reload.

import { h, icon, storage } from "./dom.js";
import { t } from "./strings.js";

const LARGEST = 220; // pixels before the field scrolls

export class Composer {
  /** `on`: `{send(text), stop()}`. */
  constructor(on) {
    this._on = on;
    this._place = "";
    this._store = storage("localStorage");
    this._id = "";
    this.field = h("textarea", {
      id: "ask",
      rows: "1",
      placeholder: t("placeholder"),
      "aria-describedby": "hint",
      autocomplete: "off",
      oninput: () => this._written(),
      onkeydown: (event) => this._key(event),
    });
    this._button = h("button", { class: "send", "aria-label": t("send"), title: t("send") }, icon("send"));
    this.element = h(
      "form",
      {
        class: "composer",
        onsubmit: (event) => {
          event.preventDefault();
          this._submit();
        },
      },
      h("label", { for: "ask", class: "off-screen" }, t("ask")),
      this.field,
      this._button,
    );
  }

  /** `who` writes from now on: another one's drafts are not theirs. */
  serve(who) {
    this._place = `clawdbot.draft.${who}.`;
  }

  /** Shows the draft of this conversation. */
  show(id) {
    this._id = id ?? "new";
    this.field.value = this._store.getItem(this._place + this._id) ?? "";
    this._fit();
  }

  /** The conversation that had no id has one now. */
  moved(id) {
    if (this._id === "new") this._id = id;
  }

  running(now) {
    this._running = now;
    const word = now ? t("stop") : t("send");
    this._button.setAttribute("aria-label", word);
    this._button.title = word;
    this._button.classList.toggle("stop", now);
    this._button.replaceChildren(icon(now ? "stop" : "send"));
  }

  _submit() {
    if (this._running) return this._on.stop();
    const text = this.field.value.trim();
    if (!text) return;
    this.field.value = "";
    this._written();
    this._on.send(text);
  }

  _written() {
    const text = this.field.value;
    try {
      if (text) this._store.setItem(this._place + this._id, text);
      else this._store.removeItem(this._place + this._id);
    } catch {
      // The store is full: the draft lives as long as the page.
    }
    this._fit();
  }

  _fit() {
    this.field.style.height = "auto";
    this.field.style.height = `${Math.min(this.field.scrollHeight, LARGEST)}px`;
  }

  _key(event) {
    // While a word is composed (Chinese, Japanese, Korean), Enter chooses it. 229: Safari says so after the fact.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    if (!this._running) this._submit();
  }
}
