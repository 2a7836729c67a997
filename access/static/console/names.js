// Names for what scripts of the theme leave without one, for readers of the screen: lists that scroll, and select boxes
// with a search. Runs before the theme's own, which starts at the end of the page.
const heading = () => document.querySelector("h1")?.textContent.trim().replace(/\s+/g, " ");

function nameRegions() {
    document.querySelectorAll("[data-simplebar]").forEach((each, number) => {
        const name = each.closest("nav")?.getAttribute("aria-label") ?? heading() ?? document.title;
        each.setAttribute("data-simplebar-aria-label", number > 1 ? `${name} ${number}` : name);
    });
}

function nameChoices() {
    document.querySelectorAll("select.select2-hidden-accessible").forEach((select) => {
        const box = select.nextElementSibling?.querySelector(".select2-selection");
        const shown = box?.querySelector("[role=textbox]");
        if (!box) return;
        const label = select.labels[0];
        const name = (label ?? select.closest("td")?.closest("table")?.querySelector(`th.column-${select.name.split("-").pop()}`))
            ?.textContent.replace("*", "").trim();
        if (!name) return;
        for (const each of [box, shown].filter(Boolean)) {
            each.removeAttribute("aria-labelledby");
            each.setAttribute("aria-label", `${name}: ${shown?.getAttribute("title") ?? ""}`.replace(/: $/, ""));
        }
    });
}

document.addEventListener("DOMContentLoaded", () => {
    nameRegions();
    nameChoices();
    new MutationObserver(nameChoices).observe(document.body, { childList: true, subtree: true }); // made later, or chosen
});
