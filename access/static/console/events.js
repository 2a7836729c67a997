// Server-sent events of a fetched answer, one by one: {name, data}. Data that is no JSON is left out.
export async function* eventsOf(answer) {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let kept = "";
    for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        kept += value;
        let end;
        while ((end = kept.indexOf("\n\n")) >= 0) {
            const said = read(kept.slice(0, end));
            kept = kept.slice(end + 2);
            if (said) yield said;
        }
    }
}

function read(block) {
    let name = "message";
    const lines = [];
    for (const line of block.split("\n")) {
        if (line.startsWith("event: ")) name = line.slice(7);
        else if (line.startsWith("data: ")) lines.push(line.slice(6));
    }
    if (!lines.length) return null;
    try {
        return { name, data: JSON.parse(lines.join("\n")) };
    } catch {
        return null;
    }
}
