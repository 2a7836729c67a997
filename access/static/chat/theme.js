// A tenant's colours, made readable: whatever they chose, text has a contrast of 4.5 to 1 upon what it stands on.

const READABLE = 4.5;
const LIGHT = [255, 255, 255];
const BLACK = [0, 0, 0];
const DARK = [23, 23, 27];

const parsed = (text) => {
  const digits = /^#([0-9a-f]{6})$/i.exec(text ?? "")?.[1];
  return digits ? [0, 2, 4].map((place) => parseInt(digits.slice(place, place + 2), 16)) : null;
};
const written = (colour) => `#${colour.map((part) => Math.round(part).toString(16).padStart(2, "0")).join("")}`;
const mixed = (one, other, share) => one.map((part, place) => part + (other[place] - part) * share);

function luminance(colour) {
  const [red, green, blue] = colour.map((part) => {
    const value = part / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** WCAG's contrast ratio of two `#rrggbb` colours, 1 to 21. */
export function contrast(one, other) {
  const [low, high] = [luminance(parsed(one)), luminance(parsed(other))].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

/** The colour itself if it can be read on `ground`, else as near to it as can be. */
export function readable(colour, ground) {
  const from = parsed(colour);
  const towards = luminance(parsed(ground)) > 0.18 ? BLACK : LIGHT;
  for (let share = 0; share < 1; share += 0.05) {
    const tried = written(mixed(from, towards, share));
    if (contrast(tried, ground) >= READABLE) return tried;
  }
  return written(towards);
}

/** Sets the page's variables. A background of the tenant's own decides between light and dark; white or none leaves that
 * to the reader. */
export function paint(colors = {}, root = document.documentElement) {
  const accent = parsed(colors.accent) ? colors.accent.toLowerCase() : "#4f46e5";
  const own = parsed(colors.background);
  const ground = own && written(own) !== "#ffffff" ? written(own) : null;
  if (ground) {
    const dark = luminance(own) < 0.18;
    root.dataset.theme = dark ? "dark" : "light";
    set(root, "--bg", ground);
    // Surfaces lie further from the text than the ground does: what can be read there can be read on them.
    set(root, "--surface", written(dark ? mixed(own, BLACK, 0.25) : mixed(own, LIGHT, 0.55)));
    set(root, "--text", readable(dark ? "#ececf1" : "#1b1b1f", ground));
    set(root, "--muted", readable(dark ? "#a9a9b6" : "#5b5b66", ground));
  }
  set(root, "--accent", accent);
  set(root, "--on-accent", contrast(accent, "#ffffff") >= READABLE ? "#ffffff" : readable("#17171b", accent));
  set(root, "--accent-on-light", readable(accent, ground ?? "#f4f4f6"));
  set(root, "--accent-on-dark", readable(accent, ground ?? "#26262d"));
  return { accent, ground: ground ?? written(matchMedia("(prefers-color-scheme: dark)").matches ? DARK : LIGHT) };
}

const set = (root, name, value) => root.style.setProperty(name, value);
