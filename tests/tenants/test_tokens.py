import base64
import json
import string
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import Unauthenticated
from tenants.tokens import TokenVerifier

KEY = "k" * 64
OPTIONS = {"ALGORITHM": "HS256", "SIGNING_KEY": KEY, "ISSUER": "clawdbot", "AUDIENCE": "clawdbot-api"}
VERIFIER = TokenVerifier(OPTIONS)


def claims(**changes):
    now = int(time.time())
    good = {
        "iss": "clawdbot",
        "aud": "clawdbot-api",
        "iat": now,
        "exp": now + 900,
        "jti": "1",
        "token_type": "access",
        "member": 1,
        "tenant": "acme",
        "role": "owner",
    }
    return {name: value for name, value in (good | changes).items() if value is not None}


def signed(key=KEY, algorithm="HS256", headers=None, **changes):
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


def segment(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def refused(token, kind="access"):
    with pytest.raises(Unauthenticated):
        VERIFIER.verify(token, kind)


def test_it_accepts_a_token_of_ours():
    found = VERIFIER.verify(signed())
    assert (found.member, found.tenant) == (1, "acme")
    assert VERIFIER.verify(signed(token_type="refresh"), "refresh").member == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "somebody"},
        {"aud": "other-api"},
        {"exp": 1},
        {"nbf": 4_000_000_000},
        {"token_type": "refresh"},
        {"token_type": "sliding"},
        *({name: None} for name in ("iss", "aud", "exp", "iat", "jti", "token_type", "member", "tenant")),
        {"member": "1"},
        {"member": True},
        {"member": 1.5},
        {"member": [1]},
        {"tenant": 5},
        {"exp": "soon"},
        {"aud": ["other-api"]},
        {"iss": ["clawdbot"]},
    ],
    ids=str,
)
def test_it_refuses_wrong_claims_though_the_signature_is_right(changes):
    try:
        token = signed(**changes)
    except TypeError:
        token = jwt.api_jws.encode(json.dumps(claims(**changes)).encode(), KEY, algorithm="HS256")
    refused(token)


def test_it_never_takes_a_refresh_token_for_an_access_token_even_after_having_seen_it():
    refresh, access = signed(token_type="refresh"), signed()
    VERIFIER.verify(refresh, "refresh")
    VERIFIER.verify(access, "access")
    refused(refresh, "access")
    refused(access, "refresh")


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
def test_it_refuses_a_token_without_a_signature(algorithm):
    body = f"{segment({'alg': algorithm, 'typ': 'JWT'})}.{segment(claims())}"
    for token in (f"{body}.", body, f"{body}.{segment(b'x')}", f"{body}.{signed().rpartition('.')[2]}"):
        refused(token)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_it_refuses_another_algorithm_with_the_right_key(algorithm):
    refused(signed(algorithm=algorithm))


def test_it_refuses_another_key_and_a_public_key_used_as_a_secret():
    refused(signed(key="x" * 64))
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    verifier = TokenVerifier(OPTIONS | {"ALGORITHM": "RS256", "SIGNING_KEY": private, "VERIFYING_KEY": public.decode()})
    assert verifier.verify(signed(key=private, algorithm="RS256")).member == 1
    refused(signed(key=private, algorithm="RS256"))
    header, payload = segment({"alg": "HS256", "typ": "JWT"}), segment(claims())
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    forged = f"{header}.{payload}.{segment(mac.sign(f'{header}.{payload}'.encode(), public))}"
    for each in (verifier, VERIFIER):
        with pytest.raises(Unauthenticated):
            each.verify(forged)


@pytest.mark.parametrize(
    "headers",
    [
        {"kid": "../../../../dev/null"},
        {"kid": "' OR 1=1 --"},
        {"jku": "https://attacker.example/keys"},
        {"jwk": {"kty": "oct", "k": "eA"}},
        {"x5u": "https://attacker.example/cert"},
    ],
    ids=str,
)
def test_it_lets_no_header_choose_the_key(headers):
    refused(signed(key="x" * 64, headers=headers))
    assert VERIFIER.verify(signed(headers=headers)).member == 1


@pytest.mark.parametrize("headers", [{"crit": ["exp"]}, {"b64": False, "crit": ["b64"]}, {"kid": 5}], ids=str)
def test_it_refuses_headers_it_would_have_to_understand(headers):
    header = segment({"alg": "HS256", "typ": "JWT"} | headers)
    body = f"{header}.{segment(claims())}"
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    refused(f"{body}.{segment(mac.sign(body.encode(), KEY.encode()))}")


def test_it_refuses_every_truncation_and_every_altered_character():
    token = signed()
    for length in range(len(token)):
        refused(token[:length])
    for position in range(0, len(token) - 1):
        other = "A" if token[position] != "A" else "B"
        refused(token[:position] + other + token[position + 1 :])


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "a" * 100_000,
        f"{segment(b'[' * 3000)}.e30.e30",
        f"{segment(b'[' * 150)}.e30.e30",
        segment(b'{"alg":' + b"9" * 100 + b"}") + ".e30.e30",
        f"{segment([])}.{segment({})}.AAAA",
        f"{segment({'alg': ['HS256']})}.{segment(claims())}.AAAA",
        f"{segment({'alg': {}})}.{segment(claims())}.AAAA",
        "é.é.é",
        "\x00.\x00.\x00",
        "\ud800",
    ],
    ids=lambda token: ascii(token[:20]),
)
def test_it_refuses_garbage(token):
    refused(token)


@given(st.lists(st.text(string.printable + "é\x00", max_size=80), min_size=1, max_size=4))
def test_it_refuses_any_garbage(parts):
    refused(".".join(parts))
    refused(".".join(segment(part.encode()) for part in parts))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5))
def test_it_refuses_any_strange_header(value):
    for header in (value, {"alg": value}, {"alg": "HS256", "kid": value}, {"alg": "HS256", "crit": value}):
        refused(f"{segment(header)}.{segment(claims())}.AAAA")


def test_it_refuses_a_remembered_token_once_it_has_expired():
    now = [time.time()]
    verifier = TokenVerifier(OPTIONS, clock=lambda: now[0])
    token = signed()
    verifier.verify(token)
    now[0] += 901
    with pytest.raises(Unauthenticated, match="expired"):
        verifier.verify(token)


def test_a_members_token_is_no_operators_and_the_other_way_round():
    operators = signed(operator=7, stamp="x", member=None, tenant=None)
    found = VERIFIER.operator(operators)
    assert (found.operator, found.stamp) == (7, "x")
    refused(operators)
    for token in (signed(), signed(operator="7", stamp="x"), signed(operator=7), "nonsense"):
        with pytest.raises(Unauthenticated):
            VERIFIER.operator(token)
    with pytest.raises(Unauthenticated):
        VERIFIER.operator(operators, "refresh")
