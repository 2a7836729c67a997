// The scrolling part of the page: stays at the end while answers grow, unless the reader has gone up.

import { h, iconButton } from "./dom.js";
import { t } from "./strings.js";

const NEAR = 80; // pixels from the end that count as the end

export class Thread {
  constructor(greeting) {
    this._greeting = greeting;
    this._stuck = true;
    this._frame = 0;
    this._down = iconButton("down", t("scrollDown"), () => this.grown(true), { class: "icon-button down", hidden: true });
    this._inner = h("div", { class: "thread-inner" });
    // The focus lets the keyboard scroll it.
    this.element = h("section", { class: "thread", id: "thread", tabindex: "0", "aria-label": t("conversation") }, this._inner);
    this.element.addEventListener("scroll", () => this._scrolled(), { passive: true });
    this.frame = h("div", { class: "thread-frame" }, this.element, this._down);
    // Whole answers are announced here, once; the thread itself changes with every piece of one.
    this._log = h("div", { class: "off-screen", role: "log", "aria-live": "polite", "aria-label": t("announcements") });
    this.frame.append(this._log);
  }

  show(conversation) {
    this._inner.replaceChildren(conversation.element);
    this.refresh(conversation);
    this.grown(true);
  }

  refresh(conversation) {
    const greets = conversation.empty && !conversation.running;
    this._greeting.remove();
    if (greets) this._inner.prepend(this._greeting);
    this.element.classList.toggle("greets", greets);
  }

  /** More is to be seen; `jump`: also for a reader who had gone up. */
  grown(jump = false) {
    if (jump) this._stuck = true;
    this._frame ||= requestAnimationFrame(() => this._follow()); // hundreds of turns at once: its height is asked once
  }

  _follow() {
    this._frame = 0;
    if (this._stuck) this.element.scrollTop = this.element.scrollHeight;
    else this._scrolled();
  }

  say(text) {
    this._log.append(h("p", {}, text));
    while (this._log.children.length > 20) this._log.firstChild.remove();
  }

  /** What was announced to somebody else. */
  forget() {
    this._log.replaceChildren();
  }

  _scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    this._stuck = scrollHeight - scrollTop - clientHeight < NEAR;
    this._down.hidden = this._stuck;
  }
}
