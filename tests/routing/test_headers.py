"""Which headers of a request go on record though no rule asks for them. People read records who must not
hold what proves who somebody is, and nobody is helped by what is different with every request."""

import pytest

from engine.types import ChatRequest, Message
from routing.features import Features
from routing.headers import is_credential, kept_name
from tests.cast import ALICE

CREDENTIALS = """
x-authkey x-auth-key x-auth x-authz x-pass x-bearer x-otp x-totp x-pin x-sid x-sso x-sso-user x-client-cert x-ssl-cert
x-hub-sig x-hub-signature-256 x-amzn-oidc-data x-amzn-oidc-accesstoken x-oauth-user x-saml-response x-jwt x-user-pwd
x-passphrase x-access-key x-hmac x.auth x-authenticated-by
""".split()
NOISE = """
x-user-email x-email x-mail x-e-mail x-phone x-user-phone x-b3-traceid x-b3-sampled x-amzn-trace-id
x-envoy-attempt-count x-correlation-id x-correlationid x-datadog-parent-id x-cloud-trace-context x-trace-id
x-traceparent x-span-id x-goog-meta x-amz-date x-request-id x-session-id x-sessionid x-usersession x-real-ip x-geo-ip
x-forwarded-host x-stainless-os x-cache-key x-newrelic-id
""".split()
PLAIN = """
x-team x-plan x-tier x-department x-cost-centre x-app-version x-environment x-authors x-bypass x-passenger x-pinned
x-signal x-certified x-mailbox-size x-session-kind x-race x-design
""".split()


@pytest.mark.parametrize("name", CREDENTIALS)
def test_it_takes_these_for_credentials(name):
    assert is_credential(name) and not kept_name(name.encode())


@pytest.mark.parametrize("name", NOISE)
def test_it_keeps_none_of_these_unasked(name):
    assert not is_credential(name) and not kept_name(name.encode())


@pytest.mark.parametrize("name", PLAIN)
def test_it_keeps_these(name):
    assert kept_name(name.encode()) == f"header.{name}"


def recorded(headers, reads=()):
    messages = [Message(role="user", content="Hi")]
    request = ChatRequest(messages=messages, headers=headers)
    return Features(ALICE.principal, request, messages, {}, 0.0).record(reads)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"research and development", True),
        (b"x" * 23, True),
        (b"x" * 24, False),
        (b"for the team: aGVsbG8gd29ybGQgYW5kIG1vcmU=", False),
        (b"0190e1f2-58b9-7c3a-9d1e-5b8f3c2a1d4e", False),
        (b"a b " * 16, True),
        (b"a b " * 16 + b"c", False),
    ],
)
def test_it_keeps_no_value_that_might_be_a_secret_unless_a_rule_reads_it(value, kept):
    record = recorded([(b"x-odd", value)])
    assert ("header.x-odd" in record["features"]) is kept
    assert record.get("cut", []) == ([] if kept else ["header.x-odd"])
    asked = recorded([(b"x-odd", value)], ["header.x-odd"])
    assert asked["features"]["header.x-odd"] == value.decode() and "cut" not in asked
