// Shows the chat in its frame with what the form says now, a moment after the last key.

const WAIT = 300; // milliseconds
const FIELDS = ["name", "greeting", "accent", "background"];

for (const frame of document.querySelectorAll("iframe[data-preview]")) {
  const form = document.getElementById(frame.dataset.form);
  let waiting = 0;
  let shown = "";

  const show = () => {
    const said = new URLSearchParams();
    for (const field of FIELDS) said.set(field, form?.elements[field]?.value ?? frame.dataset[field] ?? "");
    const address = `${frame.dataset.preview}?${said}`;
    if (address !== shown) frame.src = shown = address;
  };

  form?.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(show, WAIT);
  });
  show();
}
