"""`POST /v1/responses` as a `ChatRequest`, and what of it its caller is told again. Source: OpenAI's API reference,
Responses. What only OpenAI's own service can do is refused by its name; unknown fields are accepted and dropped."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from access import schemas
from access.edges.responses_items import Talk
from engine.errors import InvalidRequest, NotSupported
from engine.types import AUTO, ChatRequest, Json, Message, RawHeaders

EDGE: Final = "responses"
SESSION_HEADER: Final = b"x-session-id"
LOGPROBS: Final = "message.output_text.logprobs"
INCLUDABLE: Final = frozenset(
    {
        LOGPROBS, "reasoning.encrypted_content", "message.input_image.image_url", "file_search_call.results",
        "web_search_call.results", "web_search_call.action.sources", "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
    }
)  # fmt: skip
CHOICES: Final = ("none", "auto", "required")
ECHOED: Final = (
    "metadata", "previous_response_id", "temperature", "top_p", "max_output_tokens", "max_tool_calls", "top_logprobs",
    "truncation", "parallel_tool_calls", "service_tier", "user", "safety_identifier", "prompt_cache_key", "store",
    "tool_choice", "reasoning",
)  # fmt: skip

Key = Annotated[str, Meta(max_length=512)]


class TextField(msgspec.Struct, kw_only=True):
    format: Json | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ReasoningField(msgspec.Struct, kw_only=True):
    effort: schemas.Text | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class ConversationField(msgspec.Struct, kw_only=True):
    id: schemas.SessionId


class ResponsesBody(msgspec.Struct, kw_only=True):
    """`previous_response_id` and `conversation` exclude each other; `conversation` names a session."""

    input: (
        Annotated[str, Meta(min_length=1)]
        | Annotated[list[Json], Meta(min_length=1, max_length=schemas.MAX_MESSAGES)]
        | None
    ) = None
    model: schemas.Name | None = None
    instructions: str | None = None
    previous_response_id: Key | None = None
    conversation: schemas.SessionId | ConversationField | None = None
    store: bool | None = None
    stream: bool | None = None
    stream_options: Json | None = None
    background: bool | None = None
    prompt: Json | None = None
    max_output_tokens: schemas.Tokens | None = None
    max_tool_calls: schemas.Tokens | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: list[Json] | None = None
    tool_choice: str | Json | None = None
    parallel_tool_calls: bool | None = None
    text: TextField | None = None
    reasoning: ReasoningField | None = None
    include: list[str] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: Annotated[dict[str, Key], Meta(max_length=16)] | None = None
    user: schemas.Text | None = None
    safety_identifier: schemas.Text | None = None
    prompt_cache_key: Key | None = None
    service_tier: schemas.Text | None = None


class Asked(msgspec.Struct, frozen=True):
    """A request that is checked, but for what has to be looked up: `previous`, the response it goes on from, and the
    items it only refers to."""

    body: ResponsesBody
    items: list[Json]
    tools: list[Json] | None
    params: Json
    session_id: str | None
    create_session: bool
    headers: RawHeaders
    named: dict[bytes, bytes]

    @property
    def previous(self) -> str | None:
        return self.body.previous_response_id

    @property
    def remember(self) -> bool:
        return self.body.store is not False or self.session_id is not None

    @property
    def user(self) -> str | None:
        return self.body.user or self.body.safety_identifier

    def messages(self) -> list[Message]:
        """With the instructions first, which no session keeps. Raises InvalidRequest, NotSupported."""
        talk = Talk()
        for index, item in enumerate(self.items):
            talk.add(item, f"input[{index}]")
        if not talk.messages:
            raise InvalidRequest("input: holds nothing that is said.", param="input")
        if self.body.instructions:
            return [Message("system", self.body.instructions, passing=True), *talk.messages]
        return talk.messages

    def request(self, messages: list[Message], *, request_id: str) -> ChatRequest:
        """Of a response that is kept it still lacks the session it goes on in, and after which turn."""
        body = self.body
        return ChatRequest(
            messages=messages,
            model=body.model or AUTO,
            temperature=body.temperature,
            max_tokens=body.max_output_tokens,
            stream=body.stream is True,
            tools=self.tools,
            params=self.params,
            metadata=body.metadata or {},
            session_id=self.session_id,
            remember=self.remember,
            create_session=self.create_session,
            echo=_echo(body),
            user=self.user,
            language=schemas.preferred_language(self.named.get(b"accept-language")),
            idempotency=schemas.idempotency_key(self.headers, self.named),
            headers=self.headers,
            cache=schemas.cache_wish(self.headers, self.named),
            stream_interval=schemas.stream_interval(self.named),
            edge=EDGE,
            request_id=request_id,
        )


def refers(item: Json) -> bool:
    """Whether an item is only the id of one that a response put out."""
    return item.get("type") == "item_reference" or item.keys() == {"id"}


def asked(given: Json, headers: RawHeaders) -> Asked:
    """Raises InvalidRequest, NotSupported."""
    body: ResponsesBody = schemas.fields(given, ResponsesBody)
    _refuse_what_is_not_there(body)
    if body.input is None:
        raise InvalidRequest("input: is missing.", param="input")
    items = [{"role": "user", "content": body.input}] if isinstance(body.input, str) else body.input
    named = dict(headers)
    session_id, create = _session(body, named.get(SESSION_HEADER))
    tools, params = _tools(body)
    params |= _params(body)
    return Asked(body, items, tools, params, session_id, create, headers, named)


def _refuse_what_is_not_there(body: ResponsesBody) -> None:
    if body.background:
        raise NotSupported("background: responses are answered at once here.", param="background")
    if body.prompt is not None:
        raise NotSupported("prompt: there are no stored prompts here; send instructions.", param="prompt")
    for index, name in enumerate(body.include or ()):
        if name not in INCLUDABLE:
            raise InvalidRequest(f"include[{index}]: is not known.", param=f"include[{index}]")


def _session(body: ResponsesBody, header: bytes | None) -> tuple[str | None, bool]:
    """The session and whether one may begin with it. At most one of three may name it."""
    conversation = body.conversation.id if isinstance(body.conversation, ConversationField) else body.conversation
    ways = {
        "previous_response_id": body.previous_response_id,
        "conversation": conversation,
        "X-Session-Id": header,
    }
    found = [name for name, value in ways.items() if value is not None]
    if len(found) > 1:
        raise InvalidRequest(f"{found[0]} and {found[1]} exclude each other.", param=found[0])
    if header is not None:
        return schemas.safe_session_id(header.decode("latin-1"), "X-Session-Id"), True
    return conversation, False


# Tools --------------------------------------------------------------------------------------------------------------


def _tools(body: ResponsesBody) -> tuple[list[Json] | None, Json]:
    """The functions, and the parameters about them. A choice among allowed ones is made here, so that every model's
    service understands it."""
    tools = [_function(tool, f"tools[{index}]") for index, tool in enumerate(body.tools or ())]
    choice: object = body.tool_choice
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        tools, choice = _allowed(choice, tools)
    wanted = _choice(choice, tools)
    if not tools:
        return None, {}
    params: Json = {"tool_choice": wanted, "parallel_tool_calls": body.parallel_tool_calls}
    return tools, {name: value for name, value in params.items() if value is not None}


def _function(tool: Json, at: str) -> Json:
    kind = tool.get("type")
    if not isinstance(kind, str):
        raise InvalidRequest(f"{at}.type: is missing.", param=f"{at}.type")
    if kind != "function":
        raise NotSupported(f"{at}.type: only tools of the type function are supported.", param=f"{at}.type")
    function: Json = {}
    for name, shape in (("name", str), ("description", str), ("parameters", dict), ("strict", bool)):
        value = tool.get(name)
        if value is not None:
            if not isinstance(value, shape):
                raise InvalidRequest(f"{at}.{name}: is of the wrong type.", param=f"{at}.{name}")
            function[name] = value
    if not function.get("name"):
        raise InvalidRequest(f"{at}.name: is missing.", param=f"{at}.name")
    return {"type": "function", "function": function}


def _allowed(choice: Json, tools: list[Json]) -> tuple[list[Json], object]:
    listed = choice.get("tools")
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise InvalidRequest("tool_choice.tools: must be a list of tools.", param="tool_choice.tools")
    names = {each.get("name") for each in listed if isinstance(each.get("name"), str)}
    return [tool for tool in tools if tool["function"]["name"] in names], choice.get("mode", "auto")


def _choice(choice: object, tools: list[Json]) -> str | Json | None:
    if choice is None:
        return None
    if isinstance(choice, str):
        if choice not in CHOICES:
            raise InvalidRequest(f"tool_choice: must be one of {', '.join(CHOICES)}.", param="tool_choice")
    elif isinstance(choice, dict):
        return _named_choice(choice, tools)
    else:
        raise InvalidRequest("tool_choice.mode: must be auto or required.", param="tool_choice.mode")
    if choice == "required" and not tools:
        raise InvalidRequest("tool_choice: there are no tools to choose from.", param="tool_choice")
    return choice


def _named_choice(choice: Json, tools: list[Json]) -> Json:
    kind, name = choice.get("type"), choice.get("name")
    if kind != "function":
        if not isinstance(kind, str):
            raise InvalidRequest("tool_choice.type: is missing.", param="tool_choice.type")
        raise NotSupported("tool_choice.type: only functions can be chosen.", param="tool_choice.type")
    if not any(tool["function"]["name"] == name for tool in tools):
        raise InvalidRequest("tool_choice.name: is not among the tools.", param="tool_choice.name")
    return {"type": "function", "function": {"name": name}}


# Parameters ---------------------------------------------------------------------------------------------------------


def _params(body: ResponsesBody) -> Json:
    text, reasoning = body.text or TextField(), body.reasoning or ReasoningField()
    logprobs = LOGPROBS in (body.include or ()) or body.top_logprobs is not None
    params: Json = {
        "top_p": body.top_p,
        "response_format": _format(text.format),
        "verbosity": text.verbosity,
        "reasoning_effort": reasoning.effort,
        "service_tier": body.service_tier,
        "logprobs": True if logprobs else None,
        "top_logprobs": body.top_logprobs,
    }
    return {name: value for name, value in params.items() if value is not None}


def _format(given: Json | None) -> Json | None:
    kind = given.get("type") if given is not None else "text"
    if given is None or kind == "text":
        return None
    if kind == "json_object":
        return {"type": kind}
    if kind != "json_schema":
        known = "text, json_object, json_schema"
        raise InvalidRequest(f"text.format.type: must be one of {known}.", param="text.format.type")
    for name, shape in (("name", str), ("schema", dict)):
        if not isinstance(given.get(name), shape):
            raise InvalidRequest(f"text.format.{name}: is missing or of the wrong type.", param=f"text.format.{name}")
    named = ("name", "description", "schema", "strict")
    return {"type": kind, kind: {name: given[name] for name in named if given.get(name) is not None}}


def _echo(body: ResponsesBody) -> Json:
    """What was given of `ECHOED`, and what it is called in the answer."""
    found: Json = {}
    for name in ECHOED:
        value: Any = getattr(body, name)
        if value is not None:
            found[name] = msgspec.to_builtins(value)
    if isinstance(body.conversation, ConversationField | str):
        found["conversation"] = {"id": getattr(body.conversation, "id", body.conversation)}
    return found
