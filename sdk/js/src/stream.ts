import { pieces, type ResponseLike } from "./platform";

/** Server-sent events as the socket would have them: with `type` and `event_id`. @internal */
export async function events(response: ResponseLike, take: (event: any) => void): Promise<void> {
  let rest = "";
  await pieces(response, (piece) => {
    const blocks = (rest + piece).split("\n\n");
    rest = blocks.pop()!;
    for (const block of blocks) {
      const fields: Record<string, string> = {};
      for (const line of block.split("\n")) {
        const at = line.indexOf(": ");
        if (at > 0) fields[line.slice(0, at)] = line.slice(at + 2);
      }
      if (fields.data) take({ ...JSON.parse(fields.data), type: fields.event, event_id: fields.id });
    }
  });
}
