"""Tokens that nobody issued, made of one that was: what RFC 8725 (JSON Web Token Best Current Practices) and the
incidents of other gateways tell of."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


def segment(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def without_the_key(good: str) -> dict[str, str]:
    """By somebody who has a token and no key."""
    head, body, mac = good.split(".")
    claims = claims_of(good)
    richer = segment({**claims, "role": "owner", "exp": claims["exp"] + 10_000_000})
    found = {f"alg {alg!r}": f"{segment({'alg': alg, 'typ': 'JWT'})}.{body}." for alg in ("none", "None", "nOnE", "")}
    found |= {f"alg {alg} and the signature": f"{segment({'alg': alg})}.{body}.{mac}" for alg in ("none", "HS512")}
    found |= {
        "the signature is stripped": f"{head}.{body}.",
        "there is no signature": f"{head}.{body}",
        "other claims": f"{head}.{richer}.{mac}",
        "truncated": good[:-1],
        "the same beginning": good[:20] + "A" * (len(good) - 20),
        "the same beginning and end": good[:60] + "A" * 8 + good[68:],
        "several algorithms": f"{segment({'alg': ['none', 'HS256']})}.{body}.{mac}",
        "huge": f"{head}.{segment({**claims, 'filler': 'x' * 6000})}.{mac}",
        "twice": f"{good}.{good}",
        "nested": f"{segment({'alg': 'HS256', 'cty': 'JWT'})}.{segment(good.encode())}.{mac}",
    }
    return found | _by_another_key(claims)


def _by_another_key(claims: dict[str, Any]) -> dict[str, str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    naming = {
        "kid of a file": {"kid": "../../../../dev/null"},
        "kid of a query": {"kid": "x' UNION SELECT 'key' --"},
        "kid of an address": {"kid": "http://127.0.0.1:1/key"},
        "jku": {"jku": "http://127.0.0.1:1/jwks.json"},
        "x5u": {"x5u": "http://127.0.0.1:1/cert.pem"},
        "jwk": {"jwk": {"kty": "oct", "k": segment(b"x" * 32)}},
        "crit": {"crit": ["exp"], "exp": 1},
    }
    found = {name: jwt.encode(claims, "x" * 32, algorithm="HS256", headers=headers) for name, headers in naming.items()}
    found["an empty key"] = _signed(claims, b"")
    found["a public key as the secret"] = _signed(claims, public)
    found["RS256"] = jwt.encode(claims, key, algorithm="RS256")
    return found


def _signed(claims: Any, key: bytes, header: dict[str, Any] | None = None) -> str:
    """Whatever the library would not sign."""
    said = (
        f"{segment(header or {'alg': 'HS256', 'typ': 'JWT'})}.{claims if isinstance(claims, str) else segment(claims)}"
    )
    mac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    return f"{said}.{segment(mac.sign(said.encode(), key))}"


def with_the_key(good: str, refresh: str, key: str) -> dict[str, str]:
    """The signature is right, what it says is not: tokens of another time, service, purpose or tenant."""
    claims, now = claims_of(good), int(time.time())
    wrong: dict[str, dict[str, Any]] = {
        "another audience": {"aud": "clawdbot-visitor"},
        "several audiences": {"aud": ["other", "services"]},
        "another issuer": {"iss": "https://issuer.example"},
        "expired": {"exp": now - 1},
        "not yet": {"nbf": now + 3600},
        "no end": {"exp": None},
        "no number": {"jti": None},
        "another tenant": {"tenant": "globex"},
        "another member": {"member": claims.get("member", 0) + 1_000_000},
        "another stamp": {"stamp": "0" * 16},
        "another purpose": {"token_type": "refresh"},
        "an unknown purpose": {"token_type": "sliding"},
        "no purpose": {"token_type": None},
        "a visitor's": {"token_type": "visitor", "visitor": "x"},
    }
    found = {"a refresh token": refresh}
    for name, changes in wrong.items():
        said = {claim: value for claim, value in {**claims, **changes}.items() if value is not None}
        found[name] = _signed(said, key.encode())
    # the last of two claims counts here as everywhere else, and it is of no tenant
    double = json.dumps(claims)[:-1] + ', "tenant": "globex"}'
    found["a claim twice"] = _signed(segment(double.encode()), key.encode())
    found["HS512 with the right key"] = jwt.encode(claims, key, algorithm="HS512")
    return found
