"""`docs/adapters.md` shows what works: its adapter passes the conformance suite, its tables name what there is."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from adapters import anthropic_requests, bedrock_requests, registry
from adapters.base import AdapterConfig, BaseModelAdapter
from adapters.gemini_generate import GeminiOptions
from adapters.ollama_chat import OllamaOptions
from adapters.openai_completions import TextOptions
from adapters.openai_requests import Options
from engine.aiohttp_client import AiohttpClient
from tests.adapters import upstream as wire
from tests.adapters.test_openai_conformance import FAILURES
from tests.adapters.upstream import CUT, HANG, Upstream
from tests.conformance.adapters import AdapterConformance, Answer

TEXT = (Path(__file__).parents[2] / "docs" / "adapters.md").read_text(encoding="utf-8")


def shown() -> ModuleType:
    module = ModuleType("shout")
    source = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert source
    exec(compile(source[1], "docs/adapters.md", "exec"), vars(module))
    return module


class TestShownConformance(AdapterConformance):
    @asynccontextmanager
    async def serving(self, answer: Answer) -> AsyncIterator[BaseModelAdapter]:
        whole = wire.answer(200, {"text": answer.text, "tokens": answer.usage.completion_tokens})
        script: list[Any] = FAILURES[answer.failure] if answer.failure else whole
        if answer.hangs or answer.breaks:
            script = [whole[0][:-5], HANG if answer.hangs else CUT]
        http = AiohttpClient(private=True)
        async with Upstream() as self.upstream:
            self.upstream.answers(script)
            yield shown().ShoutAdapter(AdapterConfig(endpoint=self.upstream.url, timeout=10), http)
            await http.close()

    async def released(self) -> None:
        await self.upstream.closed(1)

    # The service shown cannot do these.
    test_it_streams_in_pieces = None
    test_it_reports_usage = None
    test_it_passes_the_finish_reason = None
    test_it_does_not_pass_a_cut_off_answer_as_whole = None
    test_it_lets_go_when_the_reader_leaves = None


def test_it_can_be_registered() -> None:
    with registry.registered(shown().ShoutAdapter):
        assert "shout" in registry.names()


def test_it_lists_every_adapter_and_option() -> None:
    natives = (anthropic_requests.Options, bedrock_requests.Options, GeminiOptions, OllamaOptions)
    kinds = (Options, TextOptions, *natives)
    for name in [*registry.names(), *(name for kind in kinds for name in kind.__struct_fields__)]:
        assert f"| `{name}` |" in TEXT, name
