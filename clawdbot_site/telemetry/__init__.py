"""Traces and metrics for a collector, by OpenTelemetry's GenAI conventions. `docs/telemetry.md`.

`opentelemetry` is imported by `spans`, `figures` and `exporting`, and they only where a collector is set."""

from typing import Final

SAMPLERS: Final = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
