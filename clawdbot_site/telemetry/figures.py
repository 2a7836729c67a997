"""The metrics of OpenTelemetry's semantic conventions for generative AI, with the boundaries those ask for."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.metrics import Meter

from engine.types import Usage

TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
FIRST: Final = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
EACH: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
NAMES: Final = 8  # of models that one instance says it answered with
OTHER: Final = "other"


class Figures:
    """One a process."""

    def __init__(self, meter: Meter) -> None:
        def histogram(name: str, unit: str, about: str, bounds: tuple[float, ...]) -> Any:
            return meter.create_histogram(name, unit, about, explicit_bucket_boundaries_advisory=bounds)

        self._tokens = histogram("gen_ai.client.token.usage", "{token}", "Tokens of a call", TOKENS)
        self._call = histogram("gen_ai.client.operation.duration", "s", "Duration of a call", SECONDS)
        self._turn = histogram("gen_ai.server.request.duration", "s", "Duration of a turn", SECONDS)
        self._first = histogram("gen_ai.server.time_to_first_token", "s", "Until the first token", FIRST)
        self._each = histogram("gen_ai.server.time_per_output_token", "s", "From a token to the next", EACH)

        self._answered: dict[int, set[str]] = {}

    def answered(self, instance_id: int, model: str) -> str:
        """The label for what an instance calls its model: the first names are told apart, since it may say any."""
        known = self._answered.setdefault(instance_id, set())
        if model in known:
            return model
        if len(known) >= NAMES:
            return OTHER
        known.add(model)
        return model

    def called(self, labels: dict[str, Any], seconds: float, usage: Usage | None) -> None:
        """A call of a model is over. Tokens that its service did not count are not told."""
        self._call.record(seconds, labels)
        if usage is not None and not usage.estimated:
            self._tokens.record(usage.prompt_tokens, {**labels, "gen_ai.token.type": "input"})
            self._tokens.record(usage.completion_tokens, {**labels, "gen_ai.token.type": "output"})

    def served(self, labels: dict[str, Any], seconds: float, first: float | None, usage: Usage) -> None:
        """A turn is over that had an instance; `first`: seconds to its first token."""
        self._turn.record(seconds, labels)
        if first is None:
            return
        self._first.record(first, labels)
        if usage.completion_tokens > 1:
            self._each.record(max(0.0, seconds - first) / (usage.completion_tokens - 1), labels)
