"""What a worker had begun when it was killed goes back to its queue."""

import redis
from kombu import Consumer, Queue

from clawdbot_site.celery import app, take_back
from clawdbot_site.databases import broker
from tenants.addresses import numbered


def waiting(valkey_url: str) -> int:
    with redis.Redis.from_url(numbered(valkey_url, 1)) as client:
        return client.llen("celery")


def test_it_is_in_its_queue_again_and_what_was_finished_is_not(valkey_url):
    url = broker(numbered(valkey_url, 1))
    with app.connection_for_write(url) as connection:
        for number in range(3):
            app.send_task("tests.nothing", (number,), connection=connection, queue="celery")
    assert waiting(valkey_url) == 3
    got = []
    killed = app.connection_for_write(url)
    queue = Queue("celery", exchange="celery", routing_key="celery")
    with Consumer(killed.default_channel, [queue], callbacks=[lambda body, message: got.append(message)]):
        while len(got) < 3:
            killed.drain_events(timeout=5)
    got[0].ack()
    assert waiting(valkey_url) == 0
    take_back(url)
    assert waiting(valkey_url) == 2
    for message in got[1:]:  # as a process that is killed forgets them
        message.channel.qos._delivered.clear()
    killed.release()
    take_back(url)
    assert waiting(valkey_url) == 2
