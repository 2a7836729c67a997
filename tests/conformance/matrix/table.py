"""Runs the cells and writes the page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from access import errors
from adapters.base import BaseModelAdapter
from engine import errors as tree
from engine.types import Burst, Delta, End, ModelCall
from tests.access.parts import build
from tests.conformance.adapters import IMAGES
from tests.conformance.matrix.features import FEATURES, HI, RESULTS, TOOL, TWICE, Feature, Got
from tests.conformance.matrix.formats import ChatCompletions, Format, Rest, WebSocket
from tests.conformance.matrix.grpc_chat import Grpc
from tests.conformance.matrix.messages import Messages
from tests.conformance.matrix.responses import Responses
from tests.conformance.matrix.vendors import FIRST, VENDORS, Vendor

FORMATS: list[Format] = [ChatCompletions(), Responses(), Messages(), Rest(), WebSocket(), Grpc()]

CARRIED, ABSENT, MUTE = "yes", "–", "never"
RESULT = [("call_1", "Regen"), ("call_2", "晴")]


class Stand:
    """Whose turn it is to answer: one gateway serves all cells of a format."""

    shape = ""

    def __init__(self) -> None:
        self.adapter: BaseModelAdapter | None = None

    def stream(self, call: ModelCall) -> AsyncGenerator[Delta | End, None]:
        assert self.adapter is not None
        return self.adapter.stream(call)

    def bursts(self, call: ModelCall) -> AsyncGenerator[Delta | Burst | End, None]:
        assert self.adapter is not None
        return self.adapter.bursts(call)

    async def close(self) -> None: ...


class Silence(AssertionError):
    """Something was neither carried nor refused."""


class Stage:
    """A format before its gateway."""

    def __init__(self, form: Format) -> None:
        self.form = form
        self._model = Stand()
        self._site = build(self._model)

    async def cell(self, vendor: Vendor, feature: Feature) -> str:
        """`yes`, `400 field`, `–`: the format has no word for it, `never`: the service does no such thing; a `*` where
        the vendor's note says more. Raises Silence."""
        if feature.name in self.form.absent:
            return ABSENT
        if feature.name in vendor.mute:
            return MUTE
        found = {await self._once(vendor, feature, stream) for stream in feature.streams}
        if len(found) > 1:
            raise Silence(f"{self.form.name} to {vendor.name}, {feature.name}: streams differ: {sorted(found)}")
        return found.pop()

    async def _once(self, vendor: Vendor, feature: Feature, stream: bool) -> str:
        what = f"{self.form.name} to {vendor.name}, {feature.name}{', streamed' if stream else ''}"
        answer = TWICE if vendor.notes.get(feature.name) is FIRST else feature.answer
        suite: Any = vendor.suite()
        async with suite.serving(answer) as self._model.adapter:
            upstream = suite.upstream
            if feature.name in vendor.scripts:
                upstream.answers(*vendor.scripts[feature.name], choose=vendor.by)
            body = self.form.body(feature.asked, feature.messages, stream)
            if feature.leaves:
                async with asyncio.timeout(30):
                    await self.form.leave(self._site, body, lambda: upstream.asked(1))
                    await suite.released()
                return CARRIED
            got = await self.form.ask(self._site, body)
            if got.code == tree.NotSupported.code:
                if not got.param or upstream.requests or _status(got) != 400:
                    raise Silence(f"{what}: refused without the field's name: {got}")
                return f"400 `{got.param}`"
            if feature.fails and _status(got) != feature.fails:
                raise Silence(f"{what}: {got} instead of {feature.fails}")
            if not feature.judge(got):
                raise Silence(f"{what}: the client got {got}")
            request = upstream.requests[-1]
            if (stream and vendor.by(request) != 1) or not self._told(suite, vendor, feature, request.json):
                raise Silence(f"{what}: the service got {request.path} {request.json}")
        return f"{CARRIED}*" if feature.name in {**vendor.notes, **self.form.notes} else CARRIED

    def _told(self, suite: Any, vendor: Vendor, feature: Feature, sent: Any) -> bool:
        """Whether the service was told what was asked."""
        if feature.messages is HI and "Hi" not in repr(sent):
            return False
        if feature.name == "tools" and suite.tools_sent() != [TOOL]:
            return False
        if feature.messages is RESULTS and suite.results_sent() != RESULT:
            return False
        for place, address in zip(("image, inline", "image, by address"), IMAGES, strict=True):
            if feature.name == place and suite.images_sent() != [address]:
                return False
        told = self.form.told.get(feature.name) or vendor.told.get(feature.name)
        return told is None or told(sent)


def _status(got: Got) -> int:
    """Where the protocol has none, what the error is elsewhere."""
    if got.status is not None:
        return got.status
    kinds = {kind.code: kind for kind in _all(tree.EngineError)}
    return errors.translation(kinds[got.code]).status if got.code else 200


def _all(kind: type[tree.EngineError]) -> list[type[tree.EngineError]]:
    return [kind, *(each for child in kind.__subclasses__() for each in _all(child))]


HEAD = """# Which format carries what to which service

Made by `python -m tests.conformance.matrix`: every cell was run through the whole gateway against a double of the
service, and judged by what the service was sent and by what the client got, streamed and not. A test holds this page to
what a run gives.

| | |
|---|---|
| yes | carried, both ways |
| yes* | carried in another form; the notes below say how |
| 400 `field` | refused with `not_supported`, naming the field: nothing is dropped in silence |
| – | the format has no word for it |
| never | the service does no such thing |

How each service is told: [adapters.md](adapters.md). What the formats take: [api.md](api.md).
"""


async def section(form: Format) -> str:
    """Of the page. Raises Silence."""
    stage = Stage(form)
    lines = [f"## {form.name} (`{form.route}`)", ""]
    lines.append("| | " + " | ".join(f"`{vendor.name}`" for vendor in VENDORS) + " |")
    lines.append("|---|" + "---|" * len(VENDORS))
    for feature in FEATURES:
        cells = [await stage.cell(vendor, feature) for vendor in VENDORS]
        lines.append(f"| {feature.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def notes() -> str:
    lines = ["## Notes", ""]
    for feature in FEATURES:
        said = [
            f"`{each.name}`: {each.notes[feature.name]}" for each in [*VENDORS, *FORMATS] if feature.name in each.notes
        ]
        if said:
            lines.append(f"- {feature.name}: {'; '.join(said)}.")
    return "\n".join(lines) + "\n"


async def page() -> str:
    return "\n".join([HEAD, *[await section(form) for form in FORMATS], notes()])
