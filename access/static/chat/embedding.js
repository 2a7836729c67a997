// Being inside the widget's frame: what the page tells the page around it. Only that one is told, and nothing but that the
// frame should close; what is said in the chat never leaves the frame.

import { iconButton, storage } from "./dom.js";
import { t } from "./strings.js";

export class Embedding {
  constructor() {
    this._inside = document.documentElement.dataset.mode === "embed";
    this._store = storage("sessionStorage");
    this._place = `clawdbot.open.${location.search}`;
  }

  /** The button that closes the widget; null on a page of one's own. */
  closer() {
    return this._inside && parent !== window ? iconButton("close", t("closeChat"), () => this.close(), { class: "icon-button closer" }) : null;
  }

  close() {
    if (this._inside && parent !== window) parent.postMessage({ clawdbot: "close" }, origin());
  }

  /** A frame's address is the same on every page: what was open is remembered beside it. */
  opened(id) {
    if (!this._inside) return;
    if (id) this._store.setItem(this._place, id);
    else this._store.removeItem(this._place);
  }

  last() {
    return this._inside ? this._store.getItem(this._place) : null;
  }
}

/** Of the page around. Where the browser does not say, the message, which holds nothing, may be anybody's. */
function origin() {
  try {
    return location.ancestorOrigins?.[0] ?? new URL(document.referrer).origin;
  } catch {
    return "*";
  }
}
