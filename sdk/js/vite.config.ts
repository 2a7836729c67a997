// `vite build` makes the ES module and its types, `vite build --mode global` the plain script. Neither empties the folder.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { defineConfig, type Plugin } from "vite";

const BANNER = "/*! Clawdbot SDK, generated from sdk/js: docs/sdk-js.md */";
// In the order in which they build upon each other; all names in them are different.
const TYPED = ["platform", "errors", "types", "http", "turn", "link", "dispatch", "sessions", "visitor", "client"];
const EXPORTS = "export { Clawdbot, ClawdbotError };\nexport type { Turn };";

/** The compiler's declarations of all modules as one file. */
function declarations(): Plugin {
  let out = "";
  return {
    name: "declarations",
    apply: "build",
    configResolved: (config) => void (out = resolve(config.root, config.build.outDir)),
    closeBundle() {
      const folder = mkdtempSync(join(tmpdir(), "clawdbot-types-"));
      const tsc = join(import.meta.dirname, "node_modules/typescript/bin/tsc");
      const args = ["-p", import.meta.dirname, "--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", folder];
      execFileSync(process.execPath, [tsc, ...args], { stdio: "inherit" });
      const parts = TYPED.map((name) => readFileSync(join(folder, `${name}.d.ts`), "utf8"));
      const text = parts
        .join("\n")
        .replace(/^import .*?;\n/gms, "")
        .replace(/^export \{\};\n/gm, "")
        .replace(/^export declare /gm, "declare ");
      writeFileSync(join(out, "clawdbot.d.ts"), `${BANNER}\n${text}\n${EXPORTS}\n`);
      rmSync(folder, { recursive: true });
    },
  };
}

export default defineConfig(({ mode }) => ({
  plugins: mode === "global" ? [] : [declarations()],
  build: {
    target: "es2020",
    emptyOutDir: false,
    lib:
      mode === "global"
        ? { entry: "src/global.ts", name: "Clawdbot", formats: ["iife"], fileName: () => "clawdbot.global.js" }
        : { entry: "src/index.ts", formats: ["es"], fileName: () => "clawdbot.js" },
    minify: true,
    rollupOptions: { output: { postBanner: BANNER, minify: true } },
  },
  test: { include: ["test/*.test.ts"] },
}));
