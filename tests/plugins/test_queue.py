from plugins.builtin.queue import QueuePlugin
from plugins.outbox.events import SESSIONS, TURN_TYPES
from tests.conformance.plugins import PluginSuite

URL = "amqps://user:password@mq.example.com/vhost"


class TestQueue(PluginSuite):
    plugin = QueuePlugin
    settings = ({"url": URL}, {"url": "redis://mq.example.com/0", "kind": "stream", "content": True})

    def test_it_says_where_events_go(self):
        (spec,) = self.make({"url": URL, "events": [SESSIONS, *TURN_TYPES[:1]], "content": True}).sinks()
        assert (spec.name, spec.events, spec.content) == ("broker", (TURN_TYPES[0], SESSIONS), True)
        assert self.make({"url": URL}).sinks()[0].events == TURN_TYPES
