"""Bodies that `/v1/messages` must refuse with a 4xx, each with the `param` that is told, where one is at fault."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conformance.badinput import CASES as OTHERS
from tests.conformance.badinput import HI

PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}


def _body(**fields: Any) -> bytes:
    asked = {"model": "auto", "max_tokens": 9, "messages": HI, **fields}
    return json.dumps({key: value for key, value in asked.items() if value is not ...}).encode()


def _user(*blocks: Any) -> bytes:
    return _body(messages=[{"role": "user", "content": list(blocks)}])


def _assistant(*blocks: Any) -> bytes:
    return _body(messages=[*HI, {"role": "assistant", "content": list(blocks)}, *HI])


def _raw(more: bytes) -> bytes:
    return b'{"max_tokens":9,"messages":[{"role":"user","content":"Hi"}],' + more + b"}"


USER, SAID = "messages.0.content.0", "messages.1.content.0"
CASES: dict[str, tuple[bytes, str | None]] = {
    # The guard of JSON is the same everywhere: those of the other bodies that it refuses.
    **{name: (body, None) for name, body in OTHERS.items() if b'"messages"' not in body and name != "an empty object"},
    "an empty object": (b"{}", "messages"),
    "NaN": (_raw(b'"temperature":NaN'), None),
    "a huge integer": (_raw(b'"x":' + b"9" * 300), None),
    "NUL": (b'{"max_tokens":9,"messages":[{"role":"user","content":"a\\u0000b"}]}', "messages.0.content"),
    "a lone surrogate": (b'{"max_tokens":9,"messages":[{"role":"user","content":"a\\ud800b"}]}', None),
    "depth 65": (_raw(b'"metadata":' + b'{"a":' * 64 + b"1" + b"}" * 64), "metadata"),
    "2,001 messages": (_body(messages=HI * 2001), "messages"),
    "no messages": (_body(messages=[]), "messages"),
    "messages left out": (_body(messages=...), "messages"),
    "messages of another kind": (_body(messages="Hi"), "messages"),
    "a message of another kind": (_body(messages=["Hi"]), "messages.0"),
    "an unknown role": (_body(messages=[{"role": "king", "content": "Hi"}]), "messages.0.role"),
    "a picture as an instruction": (
        _body(messages=[*HI, {"role": "system", "content": [{"type": "image"}]}]),
        "messages.1.content.0.type",
    ),
    "a role that is a list": (_body(messages=[{"role": ["user"], "content": "Hi"}]), "messages.0.role"),
    "no content": (_body(messages=[{"role": "user"}]), "messages.0.content"),
    "an empty content": (_body(messages=[{"role": "user", "content": ""}]), "messages.0.content"),
    "no blocks": (_user(), "messages.0.content"),
    "only the assistant, and nothing": (_body(messages=[{"role": "assistant", "content": ""}]), "messages"),
    "a block of another kind": (_user("Hi"), USER),
    "a block without a type": (_user({"text": "Hi"}), USER),
    "a type that is a list": (_user({"type": ["text"]}), USER),
    "an unknown block": (_user({"type": "smell"}), f"{USER}.type"),
    "an unknown block of an assistant": (_assistant({"type": "server_tool_use", "id": "a"}), f"{SAID}.type"),
    "a text that is none": (_user({"type": "text", "text": 5}), f"{USER}.text"),
    "an image without a source": (_user({"type": "image"}), f"{USER}.source"),
    "an image of a file": (_user({"type": "image", "source": {"type": "file"}}), f"{USER}.source.type"),
    "an image by another address": (
        _user({"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}}),
        f"{USER}.source.url",
    ),
    "a picture of another kind": (
        _user({"type": "image", "source": {"type": "base64", "media_type": "image/x", "data": ""}}),
        f"{USER}.source.media_type",
    ),
    "a document that is no PDF": (
        _user({"type": "document", "source": {**PDF, "media_type": "text/html"}}),
        f"{USER}.source.media_type",
    ),
    "a document by its address": (
        _user({"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}),
        f"{USER}.source.type",
    ),
    "a document to be cited": (
        _user({"type": "document", "source": PDF, "citations": {"enabled": True}}),
        f"{USER}.citations",
    ),
    "a document with its context": (_user({"type": "document", "source": PDF, "context": "x"}), f"{USER}.context"),
    "a document with a title of another kind": (
        _user({"type": "document", "source": PDF, "title": 5}),
        f"{USER}.title",
    ),
    "a document of unknown blocks": (
        _user({"type": "document", "source": {"type": "content", "content": [{"type": "smell"}]}}),
        f"{USER}.source.content.0.type",
    ),
    "a result for nothing": (_user({"type": "tool_result", "content": "1"}), f"{USER}.tool_use_id"),
    "a result of another kind": (
        _user({"type": "tool_result", "tool_use_id": "a", "content": 5}),
        f"{USER}.content",
    ),
    "an unknown block in a result": (
        _user({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "tool_reference"}]}),
        f"{USER}.content.0.type",
    ),
    "is_error in words": (
        _user({"type": "tool_result", "tool_use_id": "a", "is_error": "yes"}),
        f"{USER}.is_error",
    ),
    "a call by the user": (_user({"type": "tool_use", "id": "a", "name": "b", "input": {}}), f"{USER}.type"),
    "a result by the assistant": (_assistant({"type": "tool_result", "tool_use_id": "a"}), f"{SAID}.type"),
    "a call without an id": (_assistant({"type": "tool_use", "name": "b", "input": {}}), f"{SAID}.id"),
    "a call without a name": (_assistant({"type": "tool_use", "id": "a", "name": "", "input": {}}), SAID),
    "an input that is a text": (
        _assistant({"type": "tool_use", "id": "a", "name": "b", "input": "{}"}),
        f"{SAID}.input",
    ),
    "thinking of another kind": (_assistant({"type": "thinking", "thinking": None}), f"{SAID}.thinking"),
    "a signature of another kind": (
        _assistant({"type": "thinking", "thinking": "", "signature": {"a": 1}}),
        f"{SAID}.signature",
    ),
    "a seal that was broken": (_assistant({"type": "redacted_thinking", "data": "clawdbot.!"}), f"{SAID}.data"),
    "a seal around what is no object": (
        _assistant({"type": "redacted_thinking", "data": "clawdbot.WzFd"}),
        f"{SAID}.data",
    ),
    "a system prompt of another kind": (_body(system=5), "system"),
    "a picture for a system prompt": (_body(system=[{"type": "image"}]), "system.0.type"),
    "max_tokens left out": (_body(max_tokens=...), "max_tokens"),
    "max_tokens 0": (_body(max_tokens=0), "max_tokens"),
    "max_tokens 1.5": (_body(max_tokens=1.5), "max_tokens"),
    "temperature 1.1": (_body(temperature=1.1), "temperature"),
    "temperature in words": (_body(temperature="hot"), "temperature"),
    "top_p 2": (_body(top_p=2), "top_p"),
    "top_k -1": (_body(top_k=-1), "top_k"),
    "stream in words": (_body(stream="yes"), "stream"),
    "model 5": (_body(model=5), "model"),
    "stop_sequences of another kind": (_body(stop_sequences="x"), "stop_sequences"),
    "a stop sequence of another kind": (_body(stop_sequences=[5]), "stop_sequences.0"),
    "tools of another kind": (_body(tools={"a": 1}), "tools"),
    "a tool of another kind": (_body(tools=[5]), "tools.0"),
    "a tool of the service's own": (
        _body(tools=[{"type": "web_search_20250305", "name": "web_search"}]),
        "tools.0.type",
    ),
    "a tool of a type that is none": (_body(tools=[{"type": 5, "name": "a", "input_schema": {}}]), "tools.0.type"),
    "a tool without a name": (_body(tools=[{"input_schema": {}}]), "tools.0.name"),
    "a tool without a schema": (_body(tools=[{"name": "a"}]), "tools.0.input_schema"),
    "a tool described by a list": (
        _body(tools=[{"name": "a", "input_schema": {}, "description": ["b"]}]),
        "tools.0.description",
    ),
    "a choice of another kind": (_body(tool_choice="auto"), "tool_choice"),
    "an unknown choice": (_body(tool_choice={"type": "some"}), "tool_choice.type"),
    "a choice that is a list": (_body(tool_choice={"type": ["auto"]}), "tool_choice.type"),
    "a choice of no tool": (_body(tool_choice={"type": "tool"}), "tool_choice.name"),
    "a choice without tools": (_body(tool_choice={"type": "any"}), "tool_choice"),
    "thinking by another name": (_body(thinking={"type": "deep"}), "thinking.type"),
    "thinking without a budget": (_body(thinking={"type": "enabled"}), "thinking.budget_tokens"),
    "too small a budget": (_body(thinking={"type": "enabled", "budget_tokens": 1}), "thinking.budget_tokens"),
    "an unknown effort": (_body(output_config={"effort": "huge"}), "output_config.effort"),
    "a format without a schema": (
        _body(output_config={"format": {"type": "json_schema"}}),
        "output_config.format",
    ),
    "another format": (_body(output_format={"type": "json_object"}), "output_config.format"),
    "an unknown tier": (_body(service_tier="fast"), "service_tier"),
    "metadata of another kind": (_body(metadata=[1]), "metadata"),
    "a long user": (_body(metadata={"user_id": "u" * 257}), "metadata.user_id"),
    "a container": (_body(container={"id": "a"}), "container"),
    "servers of tools": (_body(mcp_servers=[{"type": "url", "url": "https://example.com"}]), "mcp_servers"),
    "an edit of the context": (
        _body(context_management={"edits": [{"type": "clear_tool_uses_20250919"}]}),
        "context_management.edits.0",
    ),
    "edits of another kind": (_body(context_management={"edits": 5}), "context_management.edits"),
    "a mark of another kind": (_body(cache_control="ephemeral"), "cache_control"),
}

CORPUS = [pytest.param(body, param, id=name) for name, (body, param) in CASES.items()]
