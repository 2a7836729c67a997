"""Recorded traffic of vendors, played to a caller in OpenAI's format: `python -m tests.conformance.recordings FOLDER`.

FOLDER holds recordings of VCR (`*.yaml`, packed ones too), anywhere below. Of every exchange the recorded answer is
what the vendor says, cut anywhere; the recorded request is asked as it is where it is in OpenAI's format, else with its
tools. What the caller reads must be what an own, simple reading of the recorded bytes finds: texts, thoughts, calls of
tools, tokens; a recorded error must be one. No recordings are in this repository:
they belong to whoever made them."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

import tests.conftest  # noqa: F401  # settings, before anything of Django's
from adapters import registry
from adapters.base import AdapterConfig
from tests.access.parts import build
from tests.adapters.replay import ReplayClient

PATH = "/v1/chat/completions"
HI = [{"role": "user", "content": "Hi"}]
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class Read:
    """What an answer says. `calls` are names and arguments, `tokens` of prompt and completion."""

    texts: dict[int, str] = field(default_factory=dict)
    thoughts: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    tokens: tuple[int, int] | None = None
    failed: bool = False

    def say(self, text: str | None, index: int = 0) -> None:
        if text:
            self.texts[index] = self.texts.get(index, "") + text


@dataclass
class Exchange:
    url: str
    request: Any
    status: int
    headers: dict[str, str]
    answer: bytes

    @property
    def streams(self) -> bool:
        if (self.request or {}).get("stream") is True or re.search(r":stream|converse-stream", self.url):
            return "application/json" not in self.headers.get("content-type", "")
        return "/api/chat" in self.url and (self.request or {}).get("stream", True)


# Reading, in the plainest way --------------------------------------------------------------------------------------


def events(data: bytes) -> Iterator[Any]:
    for block in re.split(rb"\r?\n\r?\n", data):
        line = b"".join(line[5:].strip() for line in block.splitlines() if line.startswith(b"data:"))
        with suppress(ValueError):
            yield json.loads(line)


def arguments(raw: str) -> Any:
    try:
        return json.loads(raw or "{}")
    except ValueError:
        return raw


def openai(data: bytes, streams: bool) -> Read:
    read, calls = Read(), {}
    for body in events(data) if streams else [json.loads(data)]:
        read.failed = read.failed or bool(body.get("error"))
        for choice in body.get("choices") or []:
            said, index = choice.get("delta") or choice.get("message") or {}, choice.get("index", 0)
            read.say(said.get("content"), index)
            read.thoughts += said.get("reasoning_content") or said.get("reasoning") or ""
            asked = list(enumerate(said.get("tool_calls") or []))
            if said.get("function_call"):
                asked = [(0, {"index": 0, "function": said["function_call"]})]
            for place, call in asked:
                made = calls.setdefault((index, call.get("index", place)), ["", ""])
                made[0] += call["function"].get("name") or ""
                made[1] += call["function"].get("arguments") or ""
        if used := body.get("usage"):
            read.tokens = used.get("prompt_tokens"), used.get("completion_tokens")
    read.calls = [(name, arguments(raw)) for name, raw in calls.values()]
    return read


def anthropic(data: bytes, streams: bool) -> Read:
    read, blocks, used = Read(), {}, {}
    if not streams:
        message = json.loads(data)
        blocks, used = dict(enumerate(message.get("content") or [])), message.get("usage") or {}
    for event in events(data) if streams else ():
        kind, change = event["type"], event.get("delta") or {}
        read.failed = read.failed or kind == "error"
        if kind == "content_block_start":
            blocks[event["index"]] = {**event["content_block"], "raw": ""}
        elif kind == "content_block_delta":
            block = blocks[event["index"]]
            for name in ("text", "thinking"):
                block[name] = block.get(name, "") + change.get(name, "")
            block["raw"] += change.get("partial_json", "")
        counted = event["message"].get("usage") if kind == "message_start" else event.get("usage")
        used.update({name: count for name, count in (counted or {}).items() if count is not None})
    for block in blocks.values():
        if block["type"] == "text":
            read.say(block["text"])
        elif block["type"] == "thinking":
            read.thoughts += block["thinking"]
        elif block["type"] == "tool_use":
            read.calls.append((block["name"], arguments(block["raw"]) if block.get("raw") else block["input"]))
    if used:
        names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
        read.tokens = sum(used.get(name) or 0 for name in names), used.get("output_tokens") or 0
    return read


def gemini(data: bytes, streams: bool) -> Read:
    read, used = Read(), {}
    bodies = list(events(data)) if streams else json.loads(data)
    for body in bodies if isinstance(bodies, list) else [bodies]:
        for candidate in body.get("candidates") or []:
            for part in (candidate.get("content") or {}).get("parts") or []:
                if part.get("thought"):
                    read.thoughts += part.get("text") or ""
                elif "functionCall" in part:
                    read.calls.append((part["functionCall"]["name"], part["functionCall"].get("args") or {}))
                else:
                    read.say(part.get("text"), candidate.get("index", 0))
        used.update(body.get("usageMetadata") or {})
    if used:
        prompt, completion = (
            ("promptTokenCount", "toolUsePromptTokenCount"),
            ("candidatesTokenCount", "thoughtsTokenCount"),
        )
        read.tokens = sum(used.get(name, 0) for name in prompt), sum(used.get(name, 0) for name in completion)
    return read


def ollama(data: bytes, streams: bool) -> Read:
    read = Read()
    for body in map(json.loads, filter(bytes.strip, data.splitlines())):
        said = body.get("message") or {}
        read.say(said.get("content"))
        read.thoughts += said.get("thinking") or ""
        read.calls += [
            (call["function"]["name"], call["function"].get("arguments") or {}) for call in said.get("tool_calls") or []
        ]
        if body.get("prompt_eval_count"):
            read.tokens = body["prompt_eval_count"], body.get("eval_count") or 0
    return read


@dataclass
class Vendor:
    adapter: str
    address: str  # a pattern
    read: Callable[[bytes, bool], Read]
    endpoint: str = ""


VENDORS = (
    Vendor("openai_compatible", r"/chat/completions$", openai, "https://models.example/v1"),
    Vendor("anthropic_messages", r"anthropic\.com/v1/messages$", anthropic),
    Vendor("gemini_generate", r"googleapis\.com/.*:(generateContent|streamGenerateContent)$", gemini),
    Vendor("ollama_chat", r"/api/chat$", ollama, "http://models.example"),
)


# Playing -----------------------------------------------------------------------------------------------------------


def exchanges(folder: Path) -> Iterator[Exchange]:
    for path in sorted(folder.rglob("*.y*ml*")):
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        try:
            held = yaml.load(raw, Loader=LOADER)
        except (yaml.YAMLError, ValueError):
            continue
        if not isinstance(held, dict):
            continue
        pairs = held.get("interactions") or [
            {"request": one, "response": other}
            for one, other in zip(held.get("requests") or [], held.get("responses") or [], strict=False)
        ]
        for pair in pairs if isinstance(pairs, list) else ():
            if not isinstance(pair, dict) or not {"request", "response"} <= pair.keys():
                continue
            asked, answered = pair["request"], pair["response"]
            status = answered.get("status", answered.get("status_code", 200))
            headers = {name.lower(): str(value[0] if isinstance(value, list) and value else value)
                       for name, value in dict(answered.get("headers") or {}).items()}  # fmt: skip
            with suppress(ValueError):
                request = json.loads(body_of(asked) or b"null")
                code = status["code"] if isinstance(status, dict) else status
                yield Exchange(
                    str(asked.get("uri") or asked.get("url")), request, int(code), headers, body_of(answered)
                )


def body_of(part: Any) -> bytes:
    body = part.get("body", part.get("content"))
    if isinstance(body, dict) and "string" in body:
        body = body["string"]
    if body is None and "parsed_body" in part:
        body = part["parsed_body"]
    if isinstance(body, dict | list):
        body = json.dumps(body)
    data = body.encode() if isinstance(body, str) else body or b""
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def tools(request: Any) -> list[Any]:
    """Of a request in a format of its vendor's own."""
    given = (request or {}).get("tools") or []
    found = []
    for tool in [given] if isinstance(given, dict) else given:
        declared = tool.get("functionDeclarations") or tool.get("function_declarations") or [tool.get("function", tool)]
        found += [{"type": "function", "function": {"name": one["name"]}} for one in declared if "name" in one]
    return found


def pieces(data: bytes) -> list[bytes]:
    """Cut anywhere, the same way each time."""
    chance, found, at = random.Random(len(data)), [], 0
    while at < len(data):
        size = chance.choice((1, 3, 17, 100, 1000)) if len(data) < 40_000 else 4_000
        found.append(data[at : at + size])
        at += size
    return found


async def play(exchange: Exchange, vendor: Vendor) -> str:
    """What went wrong; empty: nothing."""
    kind = exchange.headers.get("content-type") or ("text/event-stream" if exchange.streams else "application/json")
    http = ReplayClient(*pieces(exchange.answer), status=exchange.status, content_type=kind)
    body: dict[str, Any] = {**exchange.request} if vendor.read is openai else {"messages": HI}
    if vendor.read is not openai and (offered := tools(exchange.request)):
        body["tools"] = offered
    body["model"], body["stream"] = "auto", exchange.streams
    if exchange.streams:
        body["stream_options"] = {"include_usage": True}
    model = registry.build(vendor.adapter, AdapterConfig(endpoint=vendor.endpoint, api_key="k"), http)
    answer = await build(model).alice.post(PATH, json.dumps(body).encode())  # type: ignore[arg-type]
    if exchange.status >= 400:
        return "" if 400 <= answer.status and answer.status != 500 else f"an error became {answer.status}"
    if answer.status != 200:
        return f"{answer.status} {answer.body[:200].decode('utf-8', 'replace')}"
    wanted, got = vendor.read(exchange.answer, exchange.streams), openai(answer.body, exchange.streams)
    for name in (
        "failed",
        "texts",
        "calls",
        *(("thoughts",) if wanted.thoughts else ()),
        *(("tokens",) if wanted.tokens else ()),
    ):
        if getattr(wanted, name) != getattr(got, name):
            return f"{name}: {getattr(wanted, name)!r:.200} became {getattr(got, name)!r:.200}"
    return ""


async def main(folder: Path) -> int:
    tally: Counter[tuple[str, str]] = Counter()
    for exchange in exchanges(folder):
        parts = urlsplit(exchange.url)
        vendor = next((each for each in VENDORS if re.search(each.address, parts.netloc + parts.path)), None)
        if vendor is None or (vendor.read is openai and not isinstance(exchange.request, dict)):
            continue
        wrong = await asyncio.wait_for(play(exchange, vendor), 30)
        tally[vendor.adapter, "wrong" if wrong else "right"] += 1
        if wrong:
            sys.stdout.write(f"{parts.netloc}{parts.path}: {wrong}\n")
    for vendor in VENDORS:
        right, wrong = tally[vendor.adapter, "right"], tally[vendor.adapter, "wrong"]
        sys.stdout.write(f"{vendor.adapter}: {right} of {right + wrong}\n")
    return int(any(kind == "wrong" for _, kind in tally))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]))))
