"""What browsers are told beside the content of every page and answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import unfold
from django.http import HttpResponse
from django.test import Client, RequestFactory

from access.errors import deny
from access.secure_pages import BARE, policy, secure_pages, secured
from engine.errors import NotFound
from tests.access.asgi_client import Client as Caller
from tests.access.parts import build
from tests.engine.parts import ScriptedModel

ROOT = Path(__file__).parents[2]
PAGES = ("/accounts/login/", "/admin/", "/console/", "/chat/", "/chat/embed/", "/api/docs/")
EXPRESSION = re.compile(r"""\s(?:x-[\w:.-]+|@[\w.:-]+|:[\w-]+)=("[^"]*"|'[^']*')""")
NUMBERS = {"action_id", "dropdown_id", "forloop.counter", "page_counter|add:forloop.counter"}
NAMES_OF_PROGRAMS = {
    "action.method_name", "active_tab", "dataset.model_name", "fieldset.name|unicoded_slugify", "name", "theme",
    "inline.formset.prefix|slugify", "inline_admin_formset.formset.prefix|slugify", "item.inline|slugify",
    "adminform|changeform_data", "conditional_display",  # names of fields without their values; we use neither
}  # fmt: skip
OTHERS = (
    "/widget.js",
    "/static/sdk/clawdbot.js",
    "/static/console/favicon.svg",
    "/api/schema/",
    "/nothing",
    "/admin/x",
)


def directives(answer: object) -> dict[str, str]:
    said = answer["Content-Security-Policy"]  # type: ignore[index]
    return {name: rest for name, _, rest in (each.partition(" ") for each in said.split("; "))}


@pytest.fixture
def inside(cast, valkey_url, client):
    cast.alice.user.is_superuser = cast.alice.user.is_staff = True
    cast.alice.user.save()
    client.force_login(cast.alice.user)
    return client


@pytest.mark.parametrize("path", [*PAGES, *OTHERS])
def test_every_answer_of_djangos_has_its_policies(inside, path):
    answer = inside.get(path)
    said = directives(answer)
    assert said["default-src"] == "'none'"
    assert said["base-uri"] == "'none'" and "form-action" in said
    assert said["frame-ancestors"] == ("'self'" if "embed" in path else "'none'")
    assert "unsafe-inline" not in said.get("script-src", "") and "*" not in answer["Content-Security-Policy"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] in ("same-origin", "no-referrer")
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in answer["Permissions-Policy"]
    assert "Server" not in answer


def test_only_the_consoles_may_compile_text_and_only_they_and_the_docs_may_have_styles_in_markup():
    assert {path for path in (*PAGES, *OTHERS) if "'unsafe-eval'" in policy(path)} == {
        "/admin/",
        "/console/",
        "/admin/x",
    }
    assert {path for path in (*PAGES, *OTHERS) if "'unsafe-inline'" in policy(path)} == {
        "/admin/", "/console/", "/admin/x", "/api/docs/",
    }  # fmt: skip


@pytest.mark.parametrize("path", ["/accounts/login/", "/accounts/2fa/totp/activate/", "/console/", "/api/docs/"])
def test_no_page_has_a_script_in_its_markup(inside, path):
    """Blocks of data are none (`type="application/json"`)."""
    text = inside.get(path, follow=True).content.decode()
    scripts = [each.partition(">")[0] for each in text.split("<script")[1:]]
    assert len(scripts) > 2 or path.startswith("/accounts/")
    assert all("src=" in each or "json" in each for each in scripts), scripts


def test_no_text_is_put_into_what_alpine_compiles():
    """HTML's escapes are undone before it reads an attribute: they would not help there."""
    folders = [ROOT / "access", Path(unfold.__file__).parent / "templates"]
    texts = [re.sub(r"{%.*?%}", "", file.read_text()) for folder in folders for file in folder.rglob("*.html")]
    found = [EXPRESSION.findall(text) for text in texts]
    names = {name.strip() for each in found for text in each for name in re.findall(r"{{([^}]*)}}", text)}
    assert names == NUMBERS | NAMES_OF_PROGRAMS | {"word|escapejs"}  # a word of the catalogue


@pytest.mark.parametrize("path", ["/api/chat", "/v1/models", "/v1/messages", "/livez", "/metrics", "/api/sessions/1"])
async def test_every_bare_answer_has_them_too(path):
    site = build(ScriptedModel(["Hello"]))
    for method in ("GET", "POST", "OPTIONS"):
        answer = await Caller(site.app, {}).request(method, path)
        for name, value in BARE:
            assert answer.headers[name.decode()] == value.decode(), (method, path)


async def test_a_refused_socket_has_them_too():
    told = []

    async def send(event):
        told.append(event)

    await deny(send, NotFound(), {"headers": []})
    assert set(BARE) <= set(told[0]["headers"])


def test_what_has_its_own_is_left_alone():
    own = [(b"X-Content-Type-Options", b"nosniff")]
    assert secured(own) is own


def asked(settings, peer, headers, path="/console/?a=1", method="get"):
    """What the middleware makes of a request that would be answered."""
    settings.TRUSTED_PROXIES = ["10.0.0.0/8"]
    request = getattr(RequestFactory(), method)(path, REMOTE_ADDR=peer, headers=headers)
    request.scope = {"scheme": "http"}
    return secure_pages(lambda _: HttpResponse("page"))(request), request.scope["scheme"]


def test_who_came_to_a_trusted_proxy_over_plain_http_is_sent_to_https(settings):
    settings.HTTPS, settings.PUBLIC_URL = True, "https://ai.acme.example"
    answer, scheme = asked(settings, "10.0.0.1", {"X-Forwarded-Proto": "http", "Host": "evil.example"})
    assert (answer.status_code, answer["Location"], scheme) == (301, "https://ai.acme.example/console/?a=1", "http")
    for peer, headers, method in (
        ("10.0.0.1", {"X-Forwarded-Proto": "https"}, "get"),
        ("10.0.0.1", {}, "get"),
        ("10.0.0.1", {"X-Forwarded-Proto": "http"}, "post"),
        ("203.0.113.7", {"X-Forwarded-Proto": "http"}, "get"),
        ("nonsense", {"X-Forwarded-Proto": "http"}, "get"),
    ):
        answer, _ = asked(settings, peer, headers, method=method)
        assert answer.status_code == 200, (peer, headers)
    settings.HTTPS = False
    assert asked(settings, "10.0.0.1", {"X-Forwarded-Proto": "http"})[0].status_code == 200


def test_only_a_trusted_proxy_says_that_a_request_is_secure(settings):
    assert asked(settings, "10.0.0.1", {"X-Forwarded-Proto": "https"})[1] == "https"
    assert asked(settings, "203.0.113.7", {"X-Forwarded-Proto": "https"})[1] == "http"


def test_browsers_keep_to_https_where_they_came_by_it(settings, cast, valkey_url):
    settings.SECURE_HSTS_SECONDS = 31_536_000
    client = Client()
    assert client.get("/accounts/login/", secure=True)["Strict-Transport-Security"] == "max-age=31536000"
    assert "Strict-Transport-Security" not in client.get("/accounts/login/")


def test_a_form_may_lead_to_the_provider_of_sign_ins(settings):
    assert policy("/accounts/login/").endswith("form-action 'self'")
    settings.OIDC_ISSUER = "http://id.acme.example/realms/a"
    assert policy("/accounts/login/").endswith("form-action 'self' https: http://id.acme.example")
