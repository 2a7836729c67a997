"""What is sent to a collector, by threads of its own: nobody waits for it; what it does not take in time is dropped.

Built after the fork, in the process that serves: the threads of a parent are not in its children."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable

import msgspec
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.trace import NoOpTracerProvider

from access.observing import Observer
from clawdbot_site.telemetry.figures import Figures
from clawdbot_site.telemetry.requests import RequestSpans
from clawdbot_site.telemetry.spans import SpanTracer
from engine.tracing import Tracer

LAST_WORDS = 3.0  # seconds that what is left may take at the end
EXPORT_SECONDS = 5.0  # that one batch may take
BATCH = 512  # spans


class Collector(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say. An empty address: nothing is sent there. Times in milliseconds."""

    traces: str
    metrics: str
    headers: dict[str, str]
    service: str
    version: str
    attributes: dict[str, str]
    sampler: str
    ratio: float
    metric_interval: int
    span_delay: int
    queue: int
    upstream: bool


class Telemetry:
    """`tracer` for the engine, `observer` for the edges."""

    def __init__(self, collector: Collector) -> None:
        own = {"service.instance.id": f"{socket.gethostname()}:{os.getpid()}"}
        named = {"service.name": collector.service, "service.version": collector.version}
        resource = Resource.create({**named, **own, **collector.attributes})
        self._close: list[Callable[[], None]] = []
        spans: TracerProvider | NoOpTracerProvider = NoOpTracerProvider()
        meters: MeterProvider | NoOpMeterProvider = NoOpMeterProvider()
        if collector.traces:
            spans = TracerProvider(sampler(collector.sampler, collector.ratio), resource, shutdown_on_exit=False)
            spans.add_span_processor(_processor(collector))
            self._close.append(spans.shutdown)
        if collector.metrics:
            meters = MeterProvider([_reader(collector)], resource, shutdown_on_exit=False)
            self._close.append(meters.shutdown)
        tracer = spans.get_tracer("clawdbot", collector.version)
        figures = Figures(meters.get_meter("clawdbot", collector.version))
        self.tracer: Tracer = SpanTracer(tracer, figures, upstream=collector.upstream)
        self.observer: Observer = RequestSpans(tracer)

    async def close(self) -> None:
        """Sends what is left; a collector that does not take it is not waited for."""
        closing = [threading.Thread(target=close, name="telemetry", daemon=True) for close in self._close]
        for thread in closing:
            thread.start()
        until = time.monotonic() + LAST_WORDS
        while any(thread.is_alive() for thread in closing) and time.monotonic() < until:
            await asyncio.sleep(0.02)


def _processor(collector: Collector) -> BatchSpanProcessor:
    exporter = OTLPSpanExporter(collector.traces, headers=collector.headers, timeout=EXPORT_SECONDS)
    return BatchSpanProcessor(exporter, collector.queue, collector.span_delay, min(BATCH, collector.queue))


def _reader(collector: Collector) -> PeriodicExportingMetricReader:
    exporter = OTLPMetricExporter(collector.metrics, headers=collector.headers, timeout=EXPORT_SECONDS)
    return PeriodicExportingMetricReader(exporter, collector.metric_interval)


def sampler(name: str, ratio: float) -> Sampler:
    """Of one of `clawdbot_site.telemetry.SAMPLERS`."""
    known: dict[str, Sampler] = {
        "always_on": ALWAYS_ON,
        "always_off": ALWAYS_OFF,
        "traceidratio": TraceIdRatioBased(ratio),
        "parentbased_always_on": ParentBased(ALWAYS_ON),
        "parentbased_always_off": ParentBased(ALWAYS_OFF),
        "parentbased_traceidratio": ParentBasedTraceIdRatio(ratio),
    }
    return known[name]
