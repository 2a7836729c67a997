// Why this model answered: a turn's decision record in words.

import { dialog } from "./dialogs.js";
import { h } from "./dom.js";
import { t } from "./strings.js";

const SOURCES = { hit: "whySourceCache", cache: "whySourceCache", shared: "whySourceShared" };

/** `record` is `GET /api/turns/{id}`. */
export const showWhy = (record) => dialog(t("whyTitle"), () => explained(record), { wide: true });

/** The record as elements. What it does not have, or has in another form, is left out. */
export function explained(record) {
  const decision = record.decision ?? {};
  const source = record.completion?.decision?.source ?? decision.source;
  if (!decision.model) {
    return [h("p", {}, source ? t("whyNone", { source: t(SOURCES[source] ?? "whySourcePlugin") }) : t("whyUnknown"))];
  }
  const asked = decision.features?.model;
  const chosen = asked && asked !== "auto";
  const rules = listOf(decision.rules);
  return [
    h("p", { class: "lead" }, t("whyModel", { model: decision.model, instance: decision.instance ?? "?" })),
    source && h("p", {}, t("whyNone", { source: t(SOURCES[source] ?? "whySourcePlugin") })),
    chosen && h("p", {}, t("whyAsked", { model: asked })),
    rules.length > 0 && [h("p", {}, t("whyRules")), h("ul", {}, rules.map((rule) => h("li", {}, String(rule))))],
    rules.length === 0 && !chosen && h("p", {}, t("whyNoRules")),
    decision.session?.kept === "instance" && h("p", {}, t("whySessionInstance")),
    decision.session?.kept === "model" && h("p", {}, t("whySessionModel")),
    decision.fallback?.name && h("p", {}, t("whyFallback", { name: decision.fallback.name })),
    listOf(record.retries).map((retry) => h("p", {}, t("whyRetries", { instance: retry.instance, error: retry.error }))),
    candidates(decision),
    features(decision.features),
  ]
    .flat()
    .filter(Boolean);
}

function candidates(decision) {
  const found = listOf(decision.candidates);
  if (found.length === 0) return null;
  const row = (candidate) =>
    h(
      "tr",
      { class: candidate.instance === decision.instance ? "chosen" : null },
      h("th", { scope: "row" }, String(candidate.instance)),
      h("td", {}, figure(candidate.weight)),
      h("td", {}, figure(candidate.score)),
      h("td", {}, outcome(candidate, decision)),
    );
  return h(
    "div",
    { class: "table", tabindex: "0", role: "region", "aria-label": t("whyCandidates") },
    h(
      "table",
      {},
      h("caption", {}, t("whyCandidates")),
      h("thead", {}, h("tr", {}, [t("candidate"), t("weight"), t("score"), t("outcome")].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, found.map(row)),
    ),
  );
}

function outcome(candidate, decision) {
  if (candidate.instance === decision.instance && !candidate.removed) return t("chosen");
  if (candidate.removed) return t("removed", { reason: String(candidate.removed).replaceAll("_", " ") });
  return candidate.instance === decision.runner_up ? t("runnerUp") : t("possible");
}

function features(found) {
  const pairs = Object.entries(found ?? {}).filter(([, value]) => typeof value !== "object" || value === null);
  if (pairs.length === 0) return null;
  return h(
    "details",
    {},
    h("summary", {}, t("whyFeatures")),
    h("dl", {}, pairs.map(([name, value]) => [h("dt", {}, name.replaceAll("_", " ")), h("dd", {}, figure(value))])),
  );
}

const listOf = (found) => (Array.isArray(found) ? found : []);
const figure = (value) => (typeof value === "number" ? String(Number(value.toFixed(3))) : value === null || value === undefined ? "—" : String(value));
