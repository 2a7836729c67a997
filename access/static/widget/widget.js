// The launcher of a tenant's chat: <script src="https://…/widget.js" data-tenant="acme"></script>
(() => {
  const script = document.currentScript;
  const page = new URL("/chat/embed/", script.src);
  page.searchParams.set("tenant", script.dataset.tenant);
  const frame = document.createElement("iframe");
  frame.src = page;
  frame.title = "Chat";
  script.after(frame);
})();
