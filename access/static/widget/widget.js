/* The chat on any page: <script src="https://GATEWAY/widget.js" data-tenant="SLUG" async></script>
 *
 * data-open: open at once; data-language: "en" or "zh", else the browser's. Nothing is left on the page but a button and
 * a frame in a shadow tree of their own: no global name, no style, no storage. What is said stays in the frame.
 * The host page's policy has to allow this script, the frame and one request to the gateway; styles are constructed. */
(() => {
  "use strict";
  const script = document.currentScript;
  const tenant = script?.dataset.tenant;
  if (!tenant) {
    console.error("Clawdbot: the script has no data-tenant.");
    return;
  }
  const home = new URL(script.src, location.href).origin;
  const { language: wished, open: opens } = script.dataset;
  const language = (wished ?? navigator.language).toLowerCase().startsWith("zh") ? "zh" : "en";
  const words = {
    en: { open: (name) => `Open the chat with ${name}`, close: "Close the chat", title: (name) => `Chat with ${name}` },
    zh: { open: (name) => `打开与 ${name} 的聊天`, close: "关闭聊天", title: (name) => `与 ${name} 聊天` },
  }[language];
  const SVG = "http://www.w3.org/2000/svg";
  const CHAT = "M5 5h14a2 2 0 0 1 2 2v8a2 2 0 0 1-2 2h-7l-5 4v-4H5a2 2 0 0 1-2-2V7a2 2 0 0 1 2-2zM8 10h8M8 13h5";
  const CLOSE = "m6 6 12 12M18 6 6 18";
  const STYLE = `
    :host { all: initial; position: fixed; right: 20px; bottom: 20px; z-index: 2147483000; }
    button { display: grid; place-items: center; width: 58px; height: 58px; padding: 0; border: 0; border-radius: 50%;
      background: var(--accent); color: var(--on-accent); box-shadow: 0 6px 20px rgb(0 0 0 / 28%); cursor: pointer; }
    button:hover { filter: brightness(1.08); }
    button:focus-visible { outline: 3px solid var(--accent); outline-offset: 3px; }
    svg { width: 28px; height: 28px; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
    iframe { position: fixed; right: 20px; bottom: 92px; width: min(410px, calc(100vw - 40px));
      height: min(680px, calc(100vh - 112px)); border: 0; border-radius: 16px; background: Canvas;
      box-shadow: 0 12px 40px rgb(0 0 0 / 32%); color-scheme: light dark; }
    [hidden] { display: none; }
    @media (max-width: 480px) {
      iframe { inset: 0; width: 100vw; height: 100vh; height: 100dvh; border-radius: 0; }
      .open button { display: none; }
    }`;

  /* Black or white, whichever is easier to read upon the colour. */
  const upon = (colour) => {
    const [red, green, blue] = [1, 3, 5].map((place) => (parseInt(colour.slice(place, place + 2), 16) / 255) ** 2.2);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 ? "#17171b" : "#ffffff";
  };

  const begin = async () => {
    const query = `?tenant=${encodeURIComponent(tenant)}`;
    let site;
    try {
      const answer = await fetch(`${home}/api/chat-site${query}`, { credentials: "omit", referrerPolicy: "no-referrer" });
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      site = await answer.json();
    } catch (error) {
      console.error(`Clawdbot: the chat of "${tenant}" cannot be had at ${home}.`, error);
      return;
    }
    const accent = /^#[0-9a-f]{6}$/i.test(site.colors?.accent) ? site.colors.accent : "#4f46e5";
    const host = document.createElement("div");
    host.style.setProperty("--accent", accent);
    host.style.setProperty("--on-accent", upon(accent));
    const root = host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];

    const icon = document.createElementNS(SVG, "svg");
    icon.setAttribute("viewBox", "0 0 24 24");
    icon.setAttribute("aria-hidden", "true");
    const path = document.createElementNS(SVG, "path");
    icon.append(path);
    const button = document.createElement("button");
    button.type = "button";
    button.append(icon);
    const box = document.createElement("div");
    box.append(button);
    root.append(box);

    let frame = null;
    const show = (open, focus = true) => {
      if (open && !frame) {
        frame = document.createElement("iframe");
        frame.title = words.title(site.name);
        frame.allow = "clipboard-write";
        frame.referrerPolicy = "origin";
        frame.src = `${home}/chat/embed/${query}&language=${language}`;
        box.prepend(frame);
      }
      if (frame) frame.hidden = !open;
      box.className = open ? "open" : "";
      button.setAttribute("aria-expanded", String(open));
      const label = open ? words.close : words.open(site.name);
      button.setAttribute("aria-label", label);
      button.title = label;
      path.setAttribute("d", open ? CLOSE : CHAT);
      if (!focus) return;
      if (open) frame.focus();
      else button.focus();
    };
    button.addEventListener("click", () => show(button.getAttribute("aria-expanded") !== "true"));
    root.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && frame && !frame.hidden) show(false);
    });
    window.addEventListener("message", (event) => {
      if (event.origin !== home || !frame || event.source !== frame.contentWindow) return;
      if (event.data?.clawdbot === "close") show(false);
    });
    document.body.append(host);
    show(opens !== undefined, false);
  };

  if (document.body) begin();
  else document.addEventListener("DOMContentLoaded", begin, { once: true });
})();
