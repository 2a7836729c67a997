// Dialogs of the browser's own kind: they keep the focus, close with Esc and give the focus back.

import { h, iconButton } from "./dom.js";
import { t } from "./strings.js";

/** Shows a dialog. `build(close)` gives its content; resolves with what `close` was given, null when it was left. */
export function dialog(title, build, { wide = false } = {}) {
  return new Promise((resolve) => {
    let result = null;
    const close = (value = null) => {
      result = value;
      element.close();
    };
    const element = h(
      "dialog",
      {
        class: wide ? "dialog wide" : "dialog",
        "aria-labelledby": "dialog-title",
        onclose: () => {
          element.remove();
          resolve(result);
        },
        onclick: (event) => event.target === element && close(),
      },
      h("div", { class: "dialog-head" }, h("h2", { id: "dialog-title" }, title), iconButton("close", t("close"), () => close())),
    );
    element.append(h("div", { class: "dialog-body" }, ...build(close)));
    document.body.append(element);
    element.showModal();
    element.querySelector("[autofocus]")?.focus();
  });
}

/** Asks for a name; null: none was given. */
export function askName(title, name) {
  return dialog(title, (close) => {
    const field = h("input", { id: "dialog-name", value: name, maxlength: "100", autofocus: true, autocomplete: "off" });
    return [
      h(
        "form",
        {
          onsubmit: (event) => {
            event.preventDefault();
            if (field.value.trim()) close(field.value.trim());
          },
        },
        h("label", { for: "dialog-name" }, t("name")),
        field,
        buttons(h("button", { type: "button", class: "button", onclick: () => close() }, t("cancel")), h("button", { class: "button primary" }, t("save"))),
      ),
    ];
  });
}

/** True: yes. */
export function confirm(title, text, yes) {
  return dialog(title, (close) => [
    h("p", {}, text),
    buttons(
      h("button", { type: "button", class: "button", autofocus: true, onclick: () => close() }, t("cancel")),
      h("button", { type: "button", class: "button danger", onclick: () => close(true) }, yes),
    ),
  ]);
}

export const buttons = (...all) => h("div", { class: "buttons" }, ...all);
