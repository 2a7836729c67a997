"""Whether anything is sent to a collector: where none is set nothing is imported for it either."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from access.observing import UNOBSERVED, AccessLog, Observer
from clawdbot_site.telemetry.propagation import TracedClient
from engine.outbound import HttpClient
from engine.tracing import NO_TRACER, Tracer


class Telemetry(Protocol):
    """`close` sends what is left."""

    tracer: Tracer
    observer: Observer

    async def close(self) -> None: ...


class NoTelemetry:
    def __init__(self) -> None:
        self.tracer: Tracer = NO_TRACER
        self.observer: Observer = UNOBSERVED

    async def close(self) -> None:
        return


def open_telemetry() -> Telemetry:
    """As the settings say. Starts threads: in the process that serves, not before it is forked. Raises
    ImproperlyConfigured."""
    telemetry = _sending() or NoTelemetry()
    if settings.ACCESS_LOG:
        telemetry.observer = AccessLog(telemetry.observer)
    return telemetry


def client(make: Callable[[], HttpClient]) -> HttpClient:
    """What calls models."""
    return TracedClient(make()) if settings.TRACE_UPSTREAM else make()


def _sending() -> Telemetry | None:
    base = settings.OTEL_EXPORTER_OTLP_ENDPOINT
    traces = settings.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or (f"{base}/v1/traces" if base else "")
    metrics = settings.OTEL_EXPORTER_OTLP_METRICS_ENDPOINT or (f"{base}/v1/metrics" if base else "")
    traces = traces if settings.OTEL_TRACES_EXPORTER == "otlp" else ""
    metrics = metrics if settings.OTEL_METRICS_EXPORTER == "otlp" else ""
    if settings.OTEL_SDK_DISABLED or not (traces or metrics):
        return None
    exporting = import_module("clawdbot_site.telemetry.exporting")
    sending: Telemetry = exporting.Telemetry(
        exporting.Collector(
            traces=traces,
            metrics=metrics,
            headers=pairs("OTEL_EXPORTER_OTLP_HEADERS"),
            service=settings.OTEL_SERVICE_NAME,
            version=str(settings.SPECTACULAR_SETTINGS["VERSION"]),
            attributes=pairs("OTEL_RESOURCE_ATTRIBUTES"),
            sampler=settings.OTEL_TRACES_SAMPLER,
            ratio=_ratio(settings.OTEL_TRACES_SAMPLER_ARG),
            metric_interval=settings.OTEL_METRIC_EXPORT_INTERVAL,
            span_delay=settings.OTEL_BSP_SCHEDULE_DELAY,
            queue=settings.OTEL_BSP_MAX_QUEUE_SIZE,
            upstream=settings.TRACE_UPSTREAM,
        )
    )
    return sending


def pairs(setting: str) -> dict[str, str]:
    """Of a comma list of `name=value`."""
    found = {}
    for word in getattr(settings, setting):
        name, equals, value = word.partition("=")
        if not name.strip() or not equals:
            raise ImproperlyConfigured(f"{setting}: a part of it is not name=value")
        found[name.strip()] = value.strip()
    return found


def _ratio(text: str) -> float:
    try:
        ratio = float(text or 1.0)
    except ValueError:
        ratio = -1.0
    if not 0.0 <= ratio <= 1.0:
        raise ImproperlyConfigured(f"OTEL_TRACES_SAMPLER_ARG: {text!r} is not a number from 0 to 1")
    return ratio
