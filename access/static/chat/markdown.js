// Markdown as elements. Its tokens are walked and every element is made by name from the few known below; no markup is
// ever parsed, so what an answer holds can be shown wrongly at worst, never run. Raw HTML is shown as the text it is.
// Addresses: only absolute http, https and mailto ones are links. Pictures are loaded only when somebody asks for them.

import { h, icon } from "./dom.js";
import { t } from "./strings.js";
import { Lexer } from "./vendor/marked.esm.js";

const LINKS = new Set(["http:", "https:", "mailto:"]);
const PICTURE = /^data:image\/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]+$/;
const NAMED = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };
const ALIGNMENTS = new Set(["left", "center", "right"]);

/** The tokens of a text. One that is nested beyond all measure is shown as plain text. */
export function lex(text) {
  try {
    return new Lexer({ gfm: true, breaks: true }).lex(text);
  } catch {
    return [{ type: "plain", raw: text, text }];
  }
}

/** What to show of these tokens, as one fragment. */
export function render(tokens) {
  const fragment = document.createDocumentFragment();
  try {
    fragment.append(...nodes(tokens));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    fragment.replaceChildren(h("p", { class: "plain" }, tokens.map((token) => token.raw).join("")));
  }
  return fragment;
}

/** An address that may be a link; null: it is not one. */
export function safeAddress(address) {
  try {
    const url = new URL(address);
    return LINKS.has(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

const nodes = (tokens = []) => tokens.flatMap((token) => (SHOWN[token.type] ?? unknown)(token));
const unknown = (token) => [token.raw ?? ""];
const wrap = (tag) => (token) => [h(tag, {}, ...nodes(token.tokens))];

const SHOWN = {
  space: () => [],
  def: () => [],
  plain: (token) => [h("p", { class: "plain" }, token.text)],
  text: (token) => (token.tokens ? nodes(token.tokens) : [decoded(token.text)]),
  escape: (token) => [token.text],
  html: (token) => (token.block ? [h("p", { class: "plain" }, token.raw.trimEnd())] : [token.raw]),
  paragraph: wrap("p"),
  strong: wrap("strong"),
  em: wrap("em"),
  del: wrap("del"),
  blockquote: wrap("blockquote"),
  br: () => [h("br")],
  hr: () => [h("hr")],
  codespan: (token) => [h("code", {}, token.text)],
  // The page has its own headings: an answer's begin below them.
  heading: (token) => [h(`h${Math.min(token.depth + 2, 6)}`, {}, ...nodes(token.tokens))],
  code: (token) => [codeBlock(token.text, language(token.lang))],
  checkbox: (token) => [token.checked ? "☑ " : "☐ "],
  list: (token) => [
    h(
      token.ordered ? "ol" : "ul",
      { start: token.ordered && token.start !== 1 ? token.start : null },
      token.items.map((item) => h("li", { class: item.task ? "task" : null }, ...nodes(item.tokens))),
    ),
  ],
  table: (token) => [
    // The focus lets the keyboard scroll a wide table.
    h(
      "div",
      { class: "table", tabindex: "0", role: "region", "aria-label": token.header.map((cell) => cell.text).join(", ") },
      h(
        "table",
        {},
        h("thead", {}, h("tr", {}, token.header.map((cell) => cellOf("th", cell)))),
        h("tbody", {}, token.rows.map((row) => h("tr", {}, row.map((cell) => cellOf("td", cell))))),
      ),
    ),
  ],
  link: (token) => {
    const address = safeAddress(token.href);
    const content = nodes(token.tokens);
    if (address === null) return [h("span", { class: "dead-link", title: token.href }, ...content)];
    return [h("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow", title: address }, ...content)];
  },
  image: (token) => [picture(token.href, token.text)],
};

function cellOf(tag, cell) {
  const align = ALIGNMENTS.has(cell.align) ? `align-${cell.align}` : null;
  return h(tag, { class: align, scope: tag === "th" ? "col" : null }, ...nodes(cell.tokens));
}

const language = (info) => (info ?? "").match(/^[\w+#.-]{1,30}/)?.[0] ?? "";

/** Code with a button that copies it. `code.firstChild` is its only text. */
export function codeBlock(text, name) {
  const code = h("code", {}, text);
  const label = name ? t("codeIn", { language: name }) : t("code");
  return h(
    "figure",
    { class: "code" },
    h("figcaption", {}, h("span", {}, name || t("code")), copyButton(t("copyCode"), () => code.textContent)),
    h("pre", { tabindex: "0", role: "region", "aria-label": label }, code),
  );
}

/** A button that copies what `text()` gives and says so. */
export function copyButton(label, text) {
  const button = h(
    "button",
    {
      type: "button",
      class: "icon-button copy",
      "aria-label": label,
      title: label,
      onclick: async () => {
        await copy(text());
        button.replaceChildren(icon("check"));
        button.setAttribute("aria-label", t("copied"));
        setTimeout(() => {
          button.replaceChildren(icon("copy"));
          button.setAttribute("aria-label", label);
        }, 1500);
      },
    },
    icon("copy"),
  );
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Frames and plain http have no clipboard: the old way.
    const field = h("textarea", { class: "off-screen", value: text, "aria-hidden": "true", tabindex: "-1" });
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
}

function picture(source, description) {
  const address = PICTURE.test(source) ? source : safeAddress(source);
  if (address === null || address.startsWith("mailto:") || address.startsWith("http:")) {
    return h("span", { class: "dead-link", title: source }, description || source);
  }
  const host = address.startsWith("data:") ? "data" : new URL(address).host;
  const button = h(
    "button",
    {
      type: "button",
      class: "picture",
      title: t("pictureNote"),
      onclick: () => button.replaceWith(h("img", { src: address, alt: description, referrerpolicy: "no-referrer" })),
    },
    icon("picture"),
    h("span", {}, description ? `${description} · ${t("showPicture", { host })}` : t("showPicture", { host })),
  );
  return button;
}

/** Markdown texts may name characters as HTML does. */
function decoded(text) {
  return text.replace(/&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|(\w{1,8}));/g, (whole, decimal, hex, name) => {
    if (name !== undefined) return NAMED[name] ?? whole;
    const point = decimal === undefined ? parseInt(hex, 16) : Number(decimal);
    return point > 0 && point <= 0x10ffff ? String.fromCodePoint(point) : "\ufffd";
  });
}
