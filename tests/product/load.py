"""A little of everything on a running product, so that every metric has something to say."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from typing import Final

import httpx2
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.product.running import Product, until

WORD: Final = "zorblax"
PHONE: Final = "13812345678"
MAKE: Final = """
tenant = Tenant.objects.get(slug='demo')
tenant.money_per_day = 1000
tenant.cache_ttl = 60
tenant.save()
good = ModelInstance.objects.everywhere().get(name='scripted')
good.price_in = good.price_out = 10
good.save()
save_instance(instance=ModelInstance(name='broken', adapter='scripted', options={'error': 'upstream_error'}))
from plugins.models import PluginActivation, Webhook
from plugins.outbox.signing import save_webhook
answers = {'answers': [{'questions': ['how late is it'], 'answer': 'Late.'}]}
PluginActivation.objects.create(tenant=tenant, plugin='canned_answers', settings=answers)
save_webhook(webhook=Webhook(tenant=tenant, name='nowhere', url='http://127.0.0.1:9/'))
everything = services.create_api_key(tenant=tenant, name='all', scopes=['chat', 'sessions', 'manage', 'audit'])[1]
row, few = services.create_api_key(tenant=tenant, name='few')
from tenants.models import AlertRule, Allowance
AlertRule.objects.create(tenant=tenant, kind='error_rate', threshold=1, minutes=0, mail=False)
Allowance.objects.create(tenant=tenant, of='key', key=row, requests_per_minute=1)
value = [everything, few]
"""


class Load:
    """`prepare` once, `run` as often as is wanted."""

    def __init__(self, product: Product) -> None:
        self._product = product
        self.key = self.few = ""

    def prepare(self) -> None:
        self.key, self.few = self._product.operate(MAKE)
        with self._product.http(self.key) as client:
            until(lambda: client.get("/api/words").status_code == 200, "the key works")
            made = client.post("/api/words", json={"name": "listed", "words": [WORD], "action": "mask"})
            assert made.status_code == 201, made.text
            assert client.patch("/api/privacy", json={"recognisers": ["phone"]}).status_code == 200

    def http(self) -> httpx2.Client:
        return self._product.http(self.key)

    def run(self) -> None:
        with self._product.http(self.key) as client:
            asked = lambda message, **fields: client.post("/api/chat", json={"message": message, **fields})  # noqa: E731
            for text in ("Hello", f"About {WORD}, call {PHONE}", "how late is it"):
                assert asked(text).status_code == 200
            for _ in range(2):  # the second is a kept answer
                assert asked("The same", temperature=0).status_code == 200
            assert asked("Hello", model="broken").status_code in (502, 503)  # the second where its breaker has opened
            assert asked("Hello", model="nothing").status_code == 404
            assert asked("Stream", stream=True).status_code == 200
            once = {"Idempotency-Key": uuid.uuid4().hex}
            for _ in range(2):
                assert client.post("/api/chat", json={"message": "Once"}, headers=once).status_code == 200
            messages = [{"role": "user", "content": "Hello"}]
            for fields in ({}, {"stream": True}):
                answer = client.post("/v1/chat/completions", json={"model": "auto", "messages": messages, **fields})
                assert answer.status_code == 200, answer.text
        assert 429 in {self._product.ask(key=self.few).status_code for _ in range(3)}
        asyncio.run(self._sockets())

    async def _sockets(self) -> None:
        url = f"ws://127.0.0.1:{self._product.port}/ws/chat"
        async with connect(url, subprotocols=["bearer", self.key], proxy=None) as socket:
            await socket.send(json.dumps({"type": "chat", "message": "Hello"}))
            while json.loads(await asyncio.wait_for(socket.recv(), 30))["type"] not in ("done", "error"):
                pass
        with contextlib.suppress(InvalidStatus):
            async with connect(url, subprotocols=["bearer", "cb_wrong"], proxy=None):
                pass
