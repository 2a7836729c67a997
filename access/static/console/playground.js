// One prompt to several models at once; each answer streams into its own column. Whatever models say stays text.
import { eventsOf } from "./events.js";

const form = document.getElementById("playground");
const words = JSON.parse(document.getElementById("playground-words").textContent);
const problem = document.getElementById("playground-problem");
const stop = document.getElementById("playground-stop");
let running = null;

const field = (name) => form.elements.namedItem(name);

class Column {
    constructor(section) {
        this.section = section;
        this.number = section.dataset.column;
    }

    part(name) {
        return this.section.querySelector(`[data-part="${name}"]`);
    }

    get model() {
        return field(`model_${this.number}`).value;
    }

    clear() {
        this.section.hidden = !this.model;
        this.section.querySelector("h2").textContent = this.model;
        for (const name of ["state", "text", "figures", "facts", "candidates"]) this.part(name).replaceChildren();
        this.part("why").hidden = true;
        this.part("why").open = false;
        this.part("record").hidden = true;
    }

    says(state) {
        this.part("state").textContent = state;
    }

    async ask(body, signal) {
        this.says(words.asking);
        const headers = {
            "Content-Type": "application/json",
            "X-CSRFToken": field("csrfmiddlewaretoken").value,
            "X-Console-Tenant": form.dataset.tenant,
        };
        try {
            const asked = JSON.stringify({ ...body, model: this.model });
            const answer = await fetch(form.dataset.address, { method: "POST", headers, body: asked, signal });
            if (!answer.ok) {
                const { error } = await answer.json();
                this.says(`${error.message} (${error.code})`);
                return;
            }
            let over = false;
            for await (const event of eventsOf(answer)) over = this.hear(event) || over;
            if (!over) this.says(words.lost);
        } catch {
            this.says(signal.aborted ? words.stopped : words.lost);
        }
    }

    // Whether that was the last of the answer.
    hear({ name, data }) {
        if (name === "start") {
            this.says(words.answering);
            this.section.querySelector("h2").textContent = data.model === this.model ? data.model : `${this.model} → ${data.model}`;
            this.record(data.id);
        } else if (name === "delta") {
            this.part("text").append(data.content ?? data.refusal ?? "");
        } else if (name === "why") {
            this.explain(data);
        } else if (name === "done") {
            this.part("text").textContent = data.message?.content ?? "";
            this.says(words.done);
        } else if (name === "error") {
            this.says(`${data.message} (${data.code})`);
        }
        return name === "done" || name === "error";
    }

    record(id) {
        const link = this.part("record");
        if (!link.dataset.address) return;
        link.href = link.dataset.address.replace(/\/0\/change\/$/, `/${encodeURIComponent(id)}/change/`);
        link.hidden = false;
    }

    explain({ facts, candidates, figures }) {
        this.part("figures").replaceChildren(...pairs(figures));
        this.part("facts").replaceChildren(...pairs(facts));
        this.part("candidates").replaceChildren(...(candidates ? [table(candidates)] : []));
        this.part("why").hidden = !facts.length;
    }
}

function element(name, text) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    return made;
}

function pairs(found) {
    return found.flatMap(([name, value]) => [element("dt", name), element("dd", value)]);
}

function table({ headers, rows }) {
    const made = element("table");
    const head = made.createTHead().insertRow();
    for (const text of headers) {
        const cell = element("th", text);
        cell.scope = "col";
        head.append(cell);
    }
    const body = made.createTBody();
    for (const row of rows) {
        const line = body.insertRow();
        for (const text of row) line.append(element("td", text));
    }
    return made;
}

// The request's fields, or what is wrong with one.
function read() {
    const prompt = field("prompt").value;
    if (!prompt.trim()) return [null, words.prompt, "prompt"];
    const system = field("system").value;
    const body = { messages: [...(system.trim() ? [{ role: "system", content: system }] : []), { role: "user", content: prompt }] };
    const bounds = { temperature: [0, 2], top_p: [0, 1], max_tokens: [1, 2 ** 31 - 1], seed: [-(2 ** 53), 2 ** 53] };
    for (const [name, [low, high]] of Object.entries(bounds)) {
        const input = field(name);
        if (input.value === "" && !input.validity.badInput) continue;
        const number = Number(input.value);
        const whole = name === "max_tokens" || name === "seed";
        if (input.value === "" || !(number >= low && number <= high) || (whole && !Number.isInteger(number))) {
            return [null, words.number.replace("%(low)s", low).replace("%(high)s", high), name];
        }
        body[name] = number;
    }
    return [body, "", ""];
}

function complain(text, name) {
    problem.textContent = text;
    problem.hidden = !text;
    for (const input of form.elements) input.removeAttribute?.("aria-invalid");
    if (!name) return;
    field(name).setAttribute("aria-invalid", "true");
    field(name).setAttribute("aria-describedby", "playground-problem");
    field(name).focus();
}

const columns = [...document.querySelectorAll("[data-column]")].map((section) => new Column(section));

form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const [body, wrong, name] = read();
    complain(wrong, name);
    if (!body) return;
    running?.abort();
    const mine = (running = new AbortController());
    stop.disabled = false;
    for (const column of columns) column.clear();
    await Promise.all(columns.filter((column) => column.model).map((column) => column.ask(body, mine.signal)));
    if (running === mine) stop.disabled = true;
});

stop?.addEventListener("click", () => running?.abort());
