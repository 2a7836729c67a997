// A text that grows, shown as Markdown once a frame. Blocks that can no longer change are made once; only the last one is
// made again, so an answer of any length costs what its open block costs. Where that alone is long (a table of thousands
// of rows), it is made less often: at most a quarter of the time goes into it.

import { lex, render } from "./markdown.js";

const REFERENCE = /^ {0,3}\[[^\]\n]+\]:\s/m; // a link's address given elsewhere: concerns the blocks before it
const SHARE = 3;

export class LiveText {
  /** `element` holds nothing else. `changed` is called after what is seen has changed. */
  constructor(element, changed = () => {}) {
    this.element = element;
    this.text = "";
    this._changed = changed;
    this._open = 0; // where the open block begins
    this._nodes = []; // its nodes
    this._frame = 0;
    this._notBefore = 0;
  }

  add(piece) {
    this.text += piece.replaceAll("\r", ""); // the lexer counts without them
    this._frame ||= requestAnimationFrame((now) => this._draw(now));
  }

  /** Shows all that is left, now. With another text: that one instead. */
  finish(whole = this.text) {
    const text = whole.replaceAll("\r", "");
    cancelAnimationFrame(this._frame);
    this._frame = 0;
    if (text !== this.text || REFERENCE.test(text)) {
      this.text = text;
      this._open = 0;
      this._nodes = [];
      this.element.replaceChildren();
    }
    this._show();
  }

  _draw(now) {
    if (now < this._notBefore) {
      this._frame = requestAnimationFrame((later) => this._draw(later));
      return;
    }
    this._frame = 0;
    const begun = performance.now();
    this._show();
    this._notBefore = now + (performance.now() - begun) * SHARE;
  }

  _show() {
    const tokens = lex(this.text.slice(this._open));
    const last = tokens.findLastIndex((token) => token.type !== "space");
    const settled = tokens.slice(0, Math.max(last, 0));
    if (!this._grow(settled.length === 0 ? tokens[last] : undefined)) {
      for (const node of this._nodes) node.remove();
      if (settled.length > 0) {
        this.element.append(render(settled));
        this._open += settled.reduce((length, token) => length + token.raw.length, 0);
      }
      const open = render(tokens.slice(settled.length));
      this._nodes = [...open.childNodes];
      this.element.append(open);
    }
    this._changed();
  }

  /** An open block of code only gets more text, so that a selection in it stays. */
  _grow(token) {
    const [figure] = this._nodes;
    if (token?.type !== "code" || this._nodes.length !== 1 || !figure.matches?.("figure.code")) return false;
    const code = figure.querySelector("code");
    const shown = code.textContent;
    if (!shown || !token.text.startsWith(shown)) return false;
    code.firstChild.appendData(token.text.slice(shown.length));
    return true;
  }
}
