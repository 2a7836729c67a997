// Names for versions of a conversation, and the ways back to them.

import { buttons, dialog } from "./dialogs.js";
import { h } from "./dom.js";
import { locale, t } from "./strings.js";

const button = (name, onclick) => h("button", { type: "button", class: "button", onclick }, name);

/** Shows the snapshots of a conversation. `on`: `{notify(text), complain(error)}`. */
export async function showSnapshots(client, conversation, on) {
  const shelf = client.sessions.snapshots(conversation.id);
  const first = await shelf.list({ limit: 50 });
  await dialog(
    t("snapshotsTitle"),
    (close) => {
      const list = h("ul", { class: "snapshots" });
      const none = h("p", { class: "quiet" }, t("noSnapshots"));
      const more = h("button", { type: "button", class: "button" }, t("older"));
      let cursor = null;

      const row = (snapshot) => {
        const name = snapshot.name || t("automaticSnapshot");
        const at = new Date(snapshot.at * 1000).toLocaleString(locale(), { dateStyle: "medium", timeStyle: "short" });
        const leave = async (work) => {
          close();
          await work();
        };
        return h(
          "li",
          {},
          h("div", { class: "snapshot" }, h("strong", {}, name), h("span", { class: "quiet" }, t("atVersion", { version: snapshot.version, at }))),
          buttons(
            button(t("restore"), () => leave(async () => (await conversation.restore({ snapshot: snapshot.id })) && on.notify(t("restored", { name })))),
            button(t("branchSnapshot"), () => leave(() => conversation.branch({ snapshot: snapshot.id }))),
          ),
        );
      };
      const show = (page) => {
        list.append(...page.snapshots.map(row));
        cursor = page.next_cursor;
        more.hidden = cursor === null;
        none.hidden = list.children.length > 0;
      };
      more.addEventListener("click", async () => show(await shelf.list({ limit: 50, cursor })));
      show(first);

      const field = h("input", { id: "snapshot-name", maxlength: "100", autofocus: true, autocomplete: "off" });
      const form = h(
        "form",
        {
          class: "row",
          onsubmit: async (event) => {
            event.preventDefault();
            const name = field.value.trim();
            if (!name) return;
            try {
              list.prepend(row(await shelf.make({ name })));
              none.hidden = true;
              field.value = "";
              on.notify(t("madeSnapshot", { name }));
            } catch (error) {
              on.complain(error);
            }
          },
        },
        h("div", { class: "field" }, h("label", { for: "snapshot-name" }, t("snapshotName")), field),
        h("button", { class: "button primary" }, t("makeSnapshot")),
      );
      return [h("p", {}, t("snapshotsText")), form, none, list, more];
    },
    { wide: true },
  );
}
