// The form that members sign in with.

import { h } from "./dom.js";
import { t } from "./strings.js";

/** The form as an element. `account` signs in; `done()` is called once it has. `reason`: why it is shown again. */
export function signInForm(site, account, done, { reason = "", back = null } = {}) {
  const complaint = h("p", { class: "note error", role: "alert", hidden: !reason }, reason);
  const username = h("input", { id: "username", name: "username", autocomplete: "username", required: true, autocapitalize: "none" });
  const password = h("input", { id: "password", name: "password", type: "password", autocomplete: "current-password", required: true });
  const tenant = h("input", { id: "tenant", name: "tenant", autocomplete: "organization", value: site.tenant ?? "" });
  const tenantField = h("div", { class: "field", hidden: true }, h("label", { for: "tenant" }, t("tenant")), tenant);
  const otp = h("input", { id: "otp", name: "otp", autocomplete: "one-time-code", inputmode: "numeric", maxlength: "64" });
  const otpField = h("div", { class: "field", hidden: true }, h("label", { for: "otp" }, t("otp")), otp);
  const button = h("button", { class: "button primary" }, t("signIn"));

  const complain = (text) => {
    complaint.textContent = text;
    complaint.hidden = false;
  };
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    complaint.hidden = true;
    try {
      await account.signIn(username.value.trim(), password.value, tenant.value.trim(), otp.value.trim());
      done();
    } catch (error) {
      if (error.code === "tenant_required") {
        tenantField.hidden = false;
        tenant.focus();
        complain(t("tenantRequired"));
      } else if (error.code === "otp_required") {
        otpField.hidden = false;
        otp.focus();
        complain(t("otpRequired"));
      } else if (error.status === 401 && !otpField.hidden) {
        complain(t("wrongCode"));
        otp.select();
      } else if (error.status === 401) {
        complain(t("wrongPassword"));
        password.select();
      } else {
        complain(error.message && error.status ? error.message : t("errorNetwork"));
      }
    } finally {
      button.disabled = false;
    }
  };
  return h(
    "main",
    { class: "sign-in", id: "content" },
    h(
      "form",
      { class: "card", onsubmit: submit },
      h("h1", {}, t("signInTo", { name: site.name })),
      site.greeting && h("p", { class: "quiet" }, site.greeting),
      complaint,
      h("div", { class: "field" }, h("label", { for: "username" }, t("username")), username),
      h("div", { class: "field" }, h("label", { for: "password" }, t("password")), password),
      tenantField,
      otpField,
      button,
      back && h("button", { type: "button", class: "button", onclick: back }, t("cancel")),
    ),
  );
}
