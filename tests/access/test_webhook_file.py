"""Webhooks in the file of loadconfig and dumpconfig."""

import base64

import pytest

from plugins.models import Webhook
from plugins.outbox.events import TURN_TYPES
from plugins.outbox.signing import rotate, save_webhook, secret_of, secrets_of
from routing.configuration import dump, load
from routing.documents import ConfigurationError

SECRET = "whsec_" + base64.b64encode(b"known to the receiver as well").decode()
TEXT = """
webhooks:
  - name: billing
    url: "https://billing.example.com/in?token=${TOKEN}"
    secret: "${SECRET}"
    events: [clawdbot.turn.completed, "clawdbot.session.*"]
    content: true
  - {name: plain, url: "http://plain.example.com/"}
"""
ENVIRON = {"SECRET": SECRET, "TOKEN": "top-secret"}
DUMPED = {
    "BILLING_WEBHOOK_SECRET": SECRET,
    "BILLING_WEBHOOK_URL": "https://billing.example.com/in?token=top-secret",
}


def test_it_loads_and_dumps_the_same(cast):
    assert load(TEXT, tenant=cast.acme, environ=ENVIRON).created == 2
    billing, plain = Webhook.objects.for_tenant(cast.acme.pk).order_by("name")
    assert (secret_of(billing), billing.content, billing.enabled) == (SECRET, True, True)
    assert plain.events == list(TURN_TYPES)
    made = secret_of(plain)
    assert made.startswith("whsec_")
    text = dump(tenant=cast.acme)
    assert not [word for word in (SECRET, "top-secret", made) if word in text]
    known = {**DUMPED, "PLAIN_WEBHOOK_SECRET": made}
    assert str(load(text, tenant=cast.acme, environ=known)).startswith("0 created, 0 updated, 2 unchanged")
    assert load(text, tenant=cast.globex, environ=known).created == 2
    copy = Webhook.objects.for_tenant(cast.globex.pk).get(name="billing")
    assert (copy.url, secret_of(copy)) == (billing.url, SECRET)
    assert "webhooks" not in dump(tenant=None)


def test_it_keeps_what_is_not_given_and_leaves_others_alone(cast):
    load(TEXT, tenant=cast.acme, environ=ENVIRON)
    load("webhooks: [{name: billing, enabled: false}]", tenant=cast.acme, environ={})
    billing = Webhook.objects.for_tenant(cast.acme.pk).get(name="billing")
    assert (secret_of(billing), billing.url, billing.content, billing.enabled) == (
        SECRET,
        DUMPED["BILLING_WEBHOOK_URL"],
        False,
        False,
    )
    assert Webhook.objects.for_tenant(cast.acme.pk).count() == 2


def test_it_puts_a_secret_in_the_place_of_those_before(cast):
    webhook = Webhook(tenant=cast.acme, name="billing", url="https://billing.example.com/")
    save_webhook(webhook=webhook)
    rotate(webhook=webhook)
    load(f"webhooks: [{{name: billing, secret: {SECRET}}}]", tenant=cast.acme, environ={})
    webhook.refresh_from_db()
    assert secrets_of(webhook) == ((SECRET, None),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("webhooks: [{url: 'http://x'}]", "1:12: a webhook needs a name"),
        ("webhooks: [{name: a}]", "1:12: url"),
        ("webhooks: [{name: a, url: 'ftp://x'}]", "1:27: url: not an address"),
        ("webhooks: [{name: a, url: 'http://x'}, {name: a}]", "twice"),
        ("webhooks: [{name: a, url: 'http://x', events: [b]}]", "'b' is no event type"),
        ("webhooks: [{name: a, url: 'http://x', events: []}]", "events"),
        ("webhooks: [{name: a, url: 'http://x', secret: short}]", "secret: A secret is whsec_"),
        ("webhooks: [{name: a, url: 'http://x', secret: whsec_c2hvcnQ=}]", "secret: A secret is whsec_"),
        ("webhooks: [{name: a, url: 'http://x', retries: 1}]", "unknown key 'retries'"),
        ("webhooks: 5", "expected a list"),
    ],
)
def test_it_says_where_it_is_wrong(cast, text, said):
    with pytest.raises(ConfigurationError) as refused:
        load(text, tenant=cast.acme, environ={})
    assert said in str(refused.value)
    assert not Webhook.objects.everywhere().exists()
