// The plain script: the class itself is the global `Clawdbot`, its error `Clawdbot.Error`.
export { Clawdbot as default } from "./client";
