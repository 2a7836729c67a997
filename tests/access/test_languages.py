"""Errors in the caller's language, at every edge; their codes and what clients look for stay."""

import re
from pathlib import Path

import pytest

from access import errors, languages
from access.languages import TEXTS, ranked, said, wanted
from engine import errors as tree
from tests.access.asgi_client import Refused
from tests.access.parts import build
from tests.access.test_errors import every_error
from tests.engine.parts import ScriptedModel

ROOT = Path(__file__).parents[2]
BLOCKED = "The request contains content that is not allowed."
CHINESE, TRADITIONAL = TEXTS[BLOCKED]


def test_it_knows_every_text_of_the_errors_and_no_other():
    assert {kind.text for kind in every_error()} <= set(TEXTS)
    folders = [ROOT / folder for folder in ("access", "engine", "sessions_app")]
    written = "".join(
        path.read_text() for folder in folders for path in folder.rglob("*.py") if path.name != "languages.py"
    )
    assert [text for text in TEXTS if text not in written] == []


def test_each_text_is_chinese_in_its_own_script():
    for simplified, traditional in TEXTS.values():
        assert re.search("[\u4e00-\u9fff]", simplified) and simplified.endswith("。")
        assert re.search("[\u4e00-\u9fff]", traditional) and traditional.endswith("。")
        assert not set("请务户话级误这个时无过长") & set(traditional)
        assert not set("請務戶話級誤這個時無過長") & set(simplified)


@pytest.mark.parametrize(
    ("named", "header", "language"),
    [
        (None, None, "en"),
        ("zh", None, "zh-hans"),
        ("zh-CN", b"en", "zh-hans"),
        ("ZH-hant", None, "zh-hant"),
        ("zh-TW", None, "zh-hant"),
        ("zh-Hans-HK", None, "zh-hans"),
        ("en-GB", b"zh", "en"),
        ("fr", b"zh-HK", "zh-hant"),
        ("fr", None, "en"),
        (7, b"zh", "zh-hans"),
        (None, b"fr, zh;q=0.5, en;q=0.4", "zh-hans"),
        (None, b"en;q=0.4, zh-TW;q=0.5", "zh-hant"),
        (None, b"zh;q=0, en", "en"),
        (None, b"*", "en"),
        (None, b"zh;;q", "en"),
        (None, b"\xff\xfe" * 600, "en"),
    ],
)
def test_it_takes_the_first_language_it_has(named, header, language):
    assert wanted(named, header) == language


def test_it_ranks_by_weight_and_then_by_place():
    assert ranked(b"a;q=0.1, b, c;q=0.1, d;q=1.0, e;q=0") == ["b", "d", "a", "c"]


def test_what_names_a_detail_stays_as_it_is():
    assert said(tree.InvalidRequest("model: is missing."), "zh-hans") == "model: is missing."
    assert said(tree.InvalidRequest(), "zh-hant") == "請求無效。"


def test_openais_clients_find_the_words_they_look_for():
    english = errors.openai_body(tree.ContextTooLong())
    assert errors.openai_body(tree.ContextTooLong(), "zh-hans") == english
    assert "maximum context length" in english["error"]["message"]
    translated = errors.openai_body(tree.ContentBlocked(), "zh-hans")["error"]
    assert translated == {**errors.openai_body(tree.ContentBlocked())["error"], "message": CHINESE}


# At the edges -----------------------------------------------------------------------------------------------------


@pytest.fixture
def site():
    return build(ScriptedModel(["fine"]), words=["坏"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("language", "header", "text"),
    [(None, None, BLOCKED), ("zh-CN", None, CHINESE), (None, "zh-TW", TRADITIONAL), ("en", "zh", BLOCKED)],
)
async def test_chat_answers_in_the_callers_language(site, stream, language, header, text):
    headers = {"Accept-Language": header} if header else {}
    body = {"message": "坏", "stream": stream, **({"language": language} if language else {})}
    answer = await site.alice.post("/api/chat", body, headers)
    assert (answer.status, answer.json["error"]["code"], answer.json["error"]["message"]) == (
        400, "content_blocked", text,
    )  # fmt: skip


async def test_a_stream_that_breaks_says_so_in_the_callers_language():
    site = build(ScriptedModel(["fine", tree.UpstreamTimeout()]))
    answer = await site.alice.post("/api/chat", {"message": "Hi", "stream": True, "language": "zh"})
    assert "event: error" in answer.body.decode()
    assert TEXTS[tree.UpstreamTimeout.text][0] in answer.body.decode()


async def test_openais_edge_answers_in_the_callers_language(site):
    body = {"messages": [{"role": "user", "content": "坏"}]}
    answer = await site.alice.post("/v1/chat/completions", body, {"Accept-Language": "zh-CN,en;q=0.5"})
    assert (answer.status, answer.json["error"]["code"]) == (400, "content_filter")
    assert (answer.json["error"]["message"], answer.json["error"]["type"]) == (CHINESE, "invalid_request_error")


async def test_a_socket_answers_in_the_callers_language(site):
    async with site.alice.socket(headers={**site.alice.headers, "Accept-Language": "zh-TW"}) as socket:
        await socket.connect()
        for frame, text in (
            ({"type": "chat", "message": "坏"}, TRADITIONAL),
            ({"type": "chat", "message": "坏", "language": "zh-CN"}, CHINESE),
            ({"type": "cancel", "ref": 1}, TEXTS[tree.TurnNotFound.text][1]),
            ({"type": "cancel", "ref": 1, "language": "en"}, tree.TurnNotFound.text),
        ):
            socket.send(frame)
            assert (await socket.until("error"))[-1]["message"] == text
    async with site.stranger.socket(headers={"Accept-Language": "zh"}) as socket:
        with pytest.raises(Refused) as refused:
            await socket.connect()
        assert TEXTS[tree.Unauthenticated.text][0] in refused.value.body.decode()


async def test_what_no_view_sees_is_told_in_the_callers_language(site):
    headers = {"Accept-Language": "zh"}
    answer = await site.stranger.get("/api/sessions", headers)
    assert (answer.status, answer.json["error"]["message"]) == (401, TEXTS[tree.Unauthenticated.text][0])
    answer = await site.alice.request("PUT", "/api/chat", headers=headers)
    assert (answer.status, answer.json["error"]["message"]) == (405, TEXTS[tree.MethodNotAllowed.text][0])


def test_djangos_own_pages_answer_in_the_callers_language(client):
    answer = client.get("/api/nowhere", headers={"Accept-Language": "zh-CN"})
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, TEXTS[tree.NotFound.text][0])
    assert languages.said(tree.NotFound()) == client.get("/api/nowhere").json()["error"]["message"]
