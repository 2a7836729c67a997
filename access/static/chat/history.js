// The tree of what was said in a session, from the list of its versions. Pure.
//
// A turn's version comes upon the one before; a restore's is what an earlier version was. So several turns can follow
// the same one: other answers to a question, other questions. Nothing of the tree is kept anywhere but in that list.

class Node {
  /** `versions` are those with just this said; the last of them has the newest name and settings. */
  constructor(parent, line = null) {
    this.parent = parent;
    this.turnId = line?.turn_id ?? null;
    this.messages = line?.messages ?? 0;
    this.versions = line ? [line.version] : [];
    this.children = [];
  }

  get version() {
    return this.versions.at(-1);
  }

  /** This turn and the others that follow the same one, the oldest first. */
  get alternatives() {
    return this.parent ? this.parent.children : [this];
  }

  /** The newest version in which something was said after this; undefined: nothing was. */
  get onward() {
    return this.children.length > 0 ? Math.max(...this.children.map((child) => child.newest)) : undefined;
  }

  /** The newest version in which this was said. */
  get newest() {
    return Math.max(this.version, this.onward ?? 0);
  }
}

/** `lines` as `GET /api/sessions/{id}/versions` gives them, in any order. `{now, path, origin, last}`: the node of the
 * newest version, the turns from the first to it, where a branched session comes from, the newest version's number. */
export function history(lines) {
  const ordered = [...lines].sort((one, other) => one.version - other.version);
  const root = new Node(null);
  const first = ordered[0];
  // A session that began here was empty at version 0; else something unknown or of another session lies below.
  if (first?.action === "turn" && first.version === 1) root.versions.push(0);
  const at = new Map([[0, root]]);
  let now = root;
  let origin = null;
  for (const line of ordered) {
    if (line.action === "turn") {
      const node = new Node(now, line);
      now.children.push(node);
      now = node;
    } else {
      if (line.action === "restored") now = at.get(line.of?.version) ?? new Node(null);
      if (line.action === "branched") origin = line.of ?? null;
      now.versions.push(line.version);
    }
    at.set(line.version, now);
  }
  const path = [];
  for (let node = now; node.parent !== null; node = node.parent) path.unshift(node);
  return { now, path, origin, last: ordered.at(-1)?.version ?? 0 };
}

/** The turns of a session: `{node, messages}`, the oldest first; `node` null where the versions do not know it. */
export function turnsOf(messages, path) {
  const said = messages.filter((message) => message.role !== "system" && message.role !== "developer");
  const found = [];
  let end = said.length;
  for (const node of [...path].reverse()) {
    if (node.messages > end) break;
    found.unshift({ node, messages: said.slice(end - node.messages, end) });
    end -= node.messages;
  }
  const before = [];
  for (const message of said.slice(0, end)) {
    if (message.role === "user" || before.length === 0) before.push({ node: null, messages: [] });
    before.at(-1).messages.push(message);
  }
  return [...before, ...found];
}

/** The text of a message's content, with a word for what is no text. */
export function textOf(content) {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.map((part) => (part?.type === "text" ? String(part.text ?? "") : `[${String(part?.type ?? "?")}]`)).join("\n");
}
