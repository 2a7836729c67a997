// One question and its answer on the screen, while it comes and afterwards.

import { h, iconButton } from "./dom.js";
import { LiveText } from "./live_text.js";
import { copyButton } from "./markdown.js";
import { textOf } from "./history.js";
import { t } from "./strings.js";

export class TurnView {
  /** `on`: `{again, edit, branch, why, turnTo, retry}`, each called with this view (and `edit` with the new text,
   * `turnTo` with another node). `grown`: what is seen has changed. */
  constructor({ question, name, on, grown, elsewhere = false }) {
    this.question = question;
    this.turnId = null;
    this.node = null;
    this.failure = null;
    this._busy = false;
    this._on = on;
    this._grown = grown;
    this._toolCalls = new Map();
    this._bubble = h("div", { class: "bubble" }, question);
    this._asked = h(
      "div",
      { class: "question" },
      h("h2", { class: "off-screen" }, t("you")),
      elsewhere && h("p", { class: "elsewhere" }, t("elsewhere")),
      this._bubble,
      (this._askedActions = h("div", { class: "actions" })),
    );
    this._reasoning = h("div", { class: "markdown" });
    this._thoughts = new LiveText(this._reasoning, grown);
    this._reasoned = h("details", { class: "reasoning", hidden: true }, h("summary", {}, t("reasoning")), this._reasoning);
    this._tools = h("div", { class: "tools" });
    this._said = h("div", { class: "markdown" });
    this._text = new LiveText(this._said, grown);
    this._waiting = h("p", { class: "waiting" }, h("span", { class: "dots", "aria-hidden": "true" }, h("i"), h("i"), h("i")), t("thinking"));
    this._note = h("div", { class: "note", hidden: true });
    this._actions = h("div", { class: "actions" });
    this._answer = h(
      "div",
      { class: "answer", "aria-busy": "true" },
      h("h2", { class: "off-screen" }, name),
      this._reasoned,
      this._tools,
      this._said,
      this._waiting,
      this._note,
      this._actions,
    );
    this.element = h("li", { class: "turn" }, this._asked, this._answer);
  }

  get text() {
    return this._text.text;
  }

  /** A `start`, `delta` or `done` event. */
  take(event) {
    if (event.type === "start") {
      this.turnId = event.id;
      this.model = event.model;
    } else if (event.type === "delta") {
      if (event.index) return; // other choices than the first are for programs
      if (event.reasoning) this._think(event.reasoning);
      if (event.content || event.refusal) this._say(event.content || event.refusal);
      for (const call of event.tool_calls ?? []) this._call(call);
    } else if (event.type === "done") {
      this.finish([event.message], event);
    }
  }

  /** Shows these messages as the whole answer. */
  finish(messages, { finish_reason: reason, model, usage } = {}) {
    this.model = model ?? this.model;
    this.usage = usage ?? this.usage;
    const said = [];
    this._tools.replaceChildren();
    for (const message of messages) {
      if (message.reasoning_content && !this._thoughts.text) this._think(message.reasoning_content);
      if (message.role === "tool") this._tools.append(result(message));
      for (const call of message.tool_calls ?? []) this._tools.append(callOf(call.function?.name, call.function?.arguments));
      if (message.role === "assistant") said.push(textOf(message.content) || message.refusal || "");
    }
    this._text.finish(said.filter(Boolean).join("\n\n"));
    this._thoughts.finish();
    if (reason === "length") this._tell("note", t("cutLength"));
    if (reason === "content_filter") this._tell("note", t("cutFilter"));
    this._over();
  }

  /** The answer ended without being kept. */
  fail(error, words) {
    this.failure = error;
    this._text.finish();
    this._thoughts.finish();
    if (error.code === "cancelled") this._tell("note", t("stopped"));
    else {
      this._tell("note error", words, h("button", { type: "button", class: "button", onclick: () => this._on.retry(this), ...this._asks() }, t("retry")));
    }
    this._over();
  }

  /** Its place in the tree of versions, which says what can be done with it. */
  place(node) {
    const same = this.node !== null && offers(node) !== null && offers(node) === offers(this.node);
    this.node = node;
    if (!same) this._showActions(); // else the buttons, and the focus on one of them, stay
  }

  /** Whether an answer is coming, here or below: what would ask for another one has to wait. */
  busy(now) {
    this._busy = now;
    for (const button of this.element.querySelectorAll("[data-asks]")) button.disabled = now;
  }

  _think(piece) {
    this._reasoned.hidden = false;
    this._thoughts.add(piece);
  }

  _say(piece) {
    this._waiting.hidden = true;
    this._text.add(piece);
  }

  _call(piece) {
    const place = piece.index ?? this._toolCalls.size;
    const call = this._toolCalls.get(place) ?? { name: "", arguments: "" };
    call.name += piece.function?.name ?? "";
    call.arguments += piece.function?.arguments ?? "";
    this._toolCalls.set(place, call);
    this._tools.replaceChildren(...[...this._toolCalls.values()].map((each) => callOf(each.name, each.arguments)));
    this._grown();
  }

  _tell(kind, ...content) {
    this._note.className = kind;
    this._note.hidden = false;
    this._note.replaceChildren(...content);
  }

  _over() {
    this._waiting.remove();
    this._answer.removeAttribute("aria-busy");
    this._showActions();
    this._grown();
  }

  _showActions() {
    const { node, _on: on } = this;
    const asked = node?.parent?.version !== undefined; // there is a version to ask again from
    this._askedActions.replaceChildren(
      ...[(asked || this.failure) && iconButton("edit", t("edit"), () => this._edit(), this._asks())].filter(Boolean),
    );
    this._actions.replaceChildren(
      ...[
        this._switcher(),
        this.text && copyButton(t("copyAnswer"), () => this.text),
        asked && iconButton("again", t("again"), () => on.again(this), this._asks()),
        node && iconButton("branch", t("branch"), () => on.branch(this)),
        this.turnId && !this.failure && iconButton("why", t("why"), () => on.why(this)),
        this.model && h("span", { class: "by" }, this._by()),
      ].filter(Boolean),
    );
  }

  /** Of a button that asks for an answer. */
  _asks() {
    return { "data-asks": true, disabled: this._busy };
  }

  _by() {
    if (!this.usage) return this.model;
    const { prompt_tokens: input = 0, completion_tokens: output = 0 } = this.usage;
    return `${this.model} · ${t("usage", { input, output })}`;
  }

  _switcher() {
    const all = this.node?.alternatives ?? [];
    if (all.length < 2) return null;
    const place = all.indexOf(this.node);
    const step = (icon, label, other) =>
      iconButton(icon, label, () => this._on.turnTo(this, other), { disabled: other === undefined });
    const words = t("versionOf", { number: place + 1, count: all.length });
    return h(
      "div",
      { class: "switcher", role: "group", "aria-label": words },
      step("left", t("previousVersion"), all[place - 1]),
      h("span", { "aria-hidden": "true" }, `${place + 1} / ${all.length}`),
      step("right", t("nextVersion"), all[place + 1]),
    );
  }

  _edit() {
    const field = h("textarea", { "aria-label": t("editLabel"), rows: "3", value: this.question });
    const close = () => {
      form.replaceWith(this._bubble);
      this._askedActions.hidden = false;
      this._askedActions.querySelector("button")?.focus();
    };
    const form = h(
      "form",
      {
        class: "edit",
        onsubmit: async (event) => {
          event.preventDefault();
          const text = field.value.trim();
          if (!text || this._busy) return;
          form.inert = true; // once is enough
          await this._on.edit(this, text); // which takes the form away, unless it cannot be asked now
          form.inert = false;
          if (form.isConnected) field.focus();
        },
        onkeydown: (event) => {
          if (event.isComposing || event.keyCode === 229) return;
          if (event.key === "Escape") {
            event.stopPropagation();
            close();
          }
          if (event.key === "Enter" && !event.shiftKey) {
            event.preventDefault();
            form.requestSubmit();
          }
        },
      },
      field,
      h("div", { class: "buttons" }, h("button", { type: "button", class: "button", onclick: close }, t("cancel")), h("button", { class: "button primary", ...this._asks() }, t("editSend"))),
    );
    this._bubble.replaceWith(form);
    this._askedActions.hidden = true;
    field.focus();
  }
}

/** What a place in the tree allows, where that is all there is to it: with alternatives the buttons lead to nodes. */
const offers = (node) => (node === null || node.alternatives.length > 1 ? null : node.parent?.version !== undefined);

function callOf(name, text) {
  return h("details", { class: "tool" }, h("summary", {}, t("toolCall", { name: name || "?" })), h("pre", { tabindex: "0" }, pretty(text)));
}

function result(message) {
  return h("details", { class: "tool" }, h("summary", {}, t("toolResult")), h("pre", { tabindex: "0" }, pretty(textOf(message.content))));
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text ?? "";
  }
}
