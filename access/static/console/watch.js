// One turn of somebody else's, shown while it is written. Whatever it says stays text.
import { eventsOf } from "./events.js";

const page = document.getElementById("watched");
const text = document.getElementById("watched-text");
const state = document.getElementById("watched-state");
const count = document.getElementById("watched-count");
let pieces = 0;

async function follow() {
    const answer = await fetch(page.dataset.events, { headers: { Accept: "text/event-stream" } });
    if (!answer.ok) throw new Error(String(answer.status));
    for await (const { name, data } of eventsOf(answer)) {
        if (name === "delta") {
            text.append(data.reasoning ?? data.content ?? data.refusal ?? "");
            count.textContent = String(++pieces);
        } else if (name === "done") {
            text.textContent = data.message?.content ?? text.textContent;
            state.textContent = page.dataset.over;
        } else if (name === "error") {
            state.textContent = `${data.message} (${data.code})`;
        }
    }
}

follow()
    .catch(() => {
        state.textContent = page.dataset.lost;
    })
    .finally(() => {
        document.getElementById("watched-ways").hidden = false;
    });
