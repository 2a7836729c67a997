"""Turn events for a company's own message queue: RabbitMQ, Valkey or Redis, as a queue or a stream."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from plugins.base import PluginBase, PluginSettings
from plugins.outbox.brokers import check_broker, opened
from plugins.outbox.events import TURN_TYPES, check_types, sorted_types
from plugins.outbox.naming import check_template
from plugins.outbox.sinks import SinkSpec
from plugins.settings_types import Secret

Name = Annotated[str, Meta(max_length=200)]


class QueueSettings(PluginSettings):
    url: Annotated[
        Secret,
        Meta(
            title="Address of the broker",
            description="Such as amqps://user:password@broker.example.com/vhost or rediss://:password@valkey.example.com/0.",
            max_length=1000,
        ),
    ]
    kind: Annotated[
        Literal["queue", "stream"],
        Meta(description="queue: by way of kombu, for any broker. stream: a stream of Valkey or Redis."),
    ] = "queue"
    queue: Annotated[
        Name, Meta(description="Made if it is not there, and bound. Empty: the exchange alone; others bind to it.")
    ] = "clawdbot"
    exchange: Annotated[Name, Meta(description="Of RabbitMQ. Empty: straight into the queue.")] = ""
    exchange_type: Literal["topic", "direct", "fanout"] = "topic"
    routing_key: Annotated[
        Name, Meta(description="May name {tenant}, {type}, {kind}, {state}, {session}. Empty: the type of the event.")
    ] = ""
    stream_length: Annotated[
        int, Meta(ge=0, le=100_000_000, description="About how many events a stream keeps. 0: all of them.")
    ] = 0
    events: Annotated[
        list[str], Meta(title="Events", description="Types of events, one a line; see the documentation.")
    ] = msgspec.field(default_factory=lambda: list(TURN_TYPES))
    content: Annotated[bool, Meta(description="Send what was said, too: messages and answers.")] = False

    def __post_init__(self) -> None:
        check_types(self.events)
        check_broker(self.url, self.kind)
        check_template(self.routing_key)
        if self.kind == "stream" and not self.queue:
            raise ValueError("a stream needs a name: queue")
        if not self.queue and not self.exchange:
            raise ValueError("a queue or an exchange is needed")


class QueuePlugin(PluginBase):
    """Publishes an event for every turn to a message queue of the tenant's own: at least once, in order within a
    session, and also when the broker was away for hours. Answers never wait for it."""

    name = "queue"
    label = "Message queue"
    rehearses: ClassVar[bool] = True
    Settings = QueueSettings

    def __init__(self, settings: QueueSettings) -> None:
        super().__init__(settings)
        self._settings = settings

    def sinks(self) -> Sequence[SinkSpec]:
        settings = self._settings
        return [
            SinkSpec(
                name="broker",
                open=partial(opened, msgspec.structs.asdict(settings)),
                events=tuple(sorted_types(settings.events)),
                content=settings.content,
                label=self.label,
            )
        ]
