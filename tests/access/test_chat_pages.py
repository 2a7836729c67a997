"""The pages of the web chat as Django serves them."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
from django.conf import settings
from django.test import Client

from tenants.models import ChatSite, Member, Role, User
from tenants.tokens import TokenVerifier
from tests.cast import ALICE, BOB

NAUGHTY = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}"
ALWAYS = ["default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'", "form-action 'self'"]


@pytest.fixture
def acmes(cast: SimpleNamespace, valkey_url: str) -> ChatSite:
    return ChatSite.objects.create(
        tenant=cast.acme, name=NAUGHTY[:100], greeting=NAUGHTY, accent="#112233", visitors="anyone",
        origins=["https://www.acme.example", "http://localhost:3000"],
    )  # fmt: skip


def told(answer) -> dict:
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "<script>alert" not in text and "<img src=x" not in text
    return json.loads(re.search(r'<script[^>]*id="site"[^>]*>(.*?)</script>', text, re.DOTALL)[1])


def policy(answer) -> list[str]:
    return answer.headers["Content-Security-Policy"].split("; ")


@pytest.mark.parametrize("path", ["/chat/", "/chat", "/chat/embed/", "/chat/embed"])
def test_it_tells_a_page_what_the_tenant_has_set(acmes: ChatSite, path: str) -> None:
    answer = Client().get(path, {"tenant": "acme"})
    assert told(answer) == {
        "tenant": "acme",
        "name": NAUGHTY[:100],
        "greeting": NAUGHTY,
        "colors": {"accent": "#112233", "background": "#ffffff"},
        "visitors": True,
        "language": "en",
        "member": None,
    }


@pytest.mark.parametrize("path", ["/chat/", "/chat/embed/"])
def test_it_lets_a_page_do_nothing_it_need_not(acmes: ChatSite, path: str) -> None:
    answer = Client().get(path, {"tenant": "acme"})
    assert set(ALWAYS) < set(policy(answer))
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "camera=()" in answer.headers["Permissions-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert not answer.cookies


def test_only_pages_the_tenant_allows_show_the_chat_in_a_frame(acmes: ChatSite) -> None:
    chat, embed = (Client().get(path, {"tenant": "acme"}) for path in ("/chat/", "/chat/embed/"))
    assert "frame-ancestors 'none'" in policy(chat) and chat.headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'self' https://www.acme.example http://localhost:3000" in policy(embed)
    assert "X-Frame-Options" not in embed.headers
    for tenant in ("globex", "nobody"):
        assert "frame-ancestors 'self'" in policy(Client().get("/chat/embed/", {"tenant": tenant}))


def test_an_unknown_tenant_looks_like_one_that_has_set_nothing(acmes: ChatSite, cast: SimpleNamespace) -> None:
    for path in ("/chat/", "/chat/embed/"):
        unknown, plain = (told(Client().get(path, {"tenant": slug})) for slug in ("nobody", "globex"))
        assert unknown | {"tenant": "globex"} == plain
    cast.acme.is_active = False
    cast.acme.save()
    assert told(Client().get("/chat/", {"tenant": "acme"}))["name"] == "Clawdbot"
    assert told(Client().get("/chat/"))["tenant"] == "globex"  # the only one left


def test_it_names_no_tenant_where_there_are_several(acmes: ChatSite) -> None:
    assert told(Client().get("/chat/"))["tenant"] is None
    assert told(Client().get("/chat/", {"tenant": NAUGHTY + "x" * 90}))["tenant"] == (NAUGHTY + "x" * 90)[:63]


@pytest.mark.parametrize(
    ("header", "language"),
    [("zh-CN,zh;q=0.9", "zh"), ("zh-Hant", "zh"), ("fr, en;q=0.5", "en"), ("", "en"), ("de", "en"), ("é,zh", "zh")],
)
def test_it_speaks_the_browsers_language(acmes: ChatSite, header: str, language: str) -> None:
    answer = Client().get("/chat/", {"tenant": "acme"}, headers={"accept-language": header})
    assert told(answer)["language"] == language
    assert "Accept-Language" in answer.headers["Vary"]


def test_who_is_signed_in_is_a_member_at_once(acmes: ChatSite, cast: SimpleNamespace) -> None:
    client = Client()
    client.force_login(User.objects.get(pk=BOB.id))
    for query in ({}, {"tenant": "acme"}):
        site = told(client.get("/chat/", query))
        assert (site["tenant"], site["member"]) == ("acme", {"username": "bob", "role": "member"})
        assert site["csrf"]
    assert told(client.get("/chat/", {"tenant": "globex"}))["member"] is None
    embedded = client.get("/chat/embed/", {"tenant": "acme"})
    assert told(embedded)["member"] is None and "Cookie" not in embedded.headers["Vary"]
    assert "Cookie" in client.get("/chat/").headers["Vary"]
    Member.objects.everywhere().filter(user_id=BOB.id).update(is_active=False)
    assert told(client.get("/chat/", {"tenant": "acme"}))["member"] is None


def ask(client: Client, body: object = None, **headers: str):
    raw = b"" if body is None else json.dumps(body).encode()
    return client.post("/chat/token", raw, content_type="application/json", headers=headers)


def test_it_gives_a_member_their_tokens(acmes: ChatSite, cast: SimpleNamespace) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get(pk=ALICE.id))
    assert ask(client).status_code == 403  # no token of the form's
    csrf = told(client.get("/chat/"))["csrf"]
    answer = ask(client, **{"X-CSRFToken": csrf})
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    verifier = TokenVerifier(settings.SIMPLE_JWT)
    assert verifier.verify(answer.json()["access"]).member == ALICE.id
    assert verifier.verify(answer.json()["refresh"], "refresh").tenant == "acme"


def test_it_gives_nobody_else_one(acmes: ChatSite, cast: SimpleNamespace) -> None:
    def code(answer) -> tuple[int, str]:
        return answer.status_code, answer.json()["error"]["code"]

    assert code(ask(Client())) == (401, "unauthenticated")
    client = Client()
    client.force_login(User.objects.get(pk=ALICE.id))
    assert code(ask(client, {"tenant": "globex"})) == (403, "forbidden")
    assert code(ask(client, {"user": 1})) == (400, "invalid_request")
    assert code(client.generic("POST", "/chat/token", b"\xff")) == (400, "invalid_request")
    Member.objects.create(tenant=cast.globex, user_id=ALICE.id, role=Role.MEMBER)
    assert code(ask(client)) == (400, "tenant_required")
    assert ask(client, {"tenant": "globex"}).status_code == 200
    assert client.get("/chat/token").status_code == 405


def test_any_page_may_load_the_widget(acmes: ChatSite) -> None:
    for path in ("/widget.js", "/static/widget/widget.js"):
        answer = Client().get(path)
        assert answer.status_code == 200 and answer.getvalue()
        assert answer.headers["Content-Type"].startswith("text/javascript")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert "max-age=" in answer.headers["Cache-Control"]
        assert not answer.cookies
    assert "Cross-Origin-Resource-Policy" not in Client().get("/static/console/console.css").headers
    assert not Client().get("/widget.js").streaming, "a server of ASGI complains about files that are streamed"


def test_it_only_reads(acmes: ChatSite) -> None:
    for path in ("/chat/", "/chat/embed/", "/widget.js"):
        assert Client().post(path).status_code == 405
