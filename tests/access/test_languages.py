"""Errors in the caller's language, at every edge; their codes and what clients look for stay."""

import re
from pathlib import Path

import pytest

from access import errors, languages
from access.languages import LANGUAGES, TEXTS, ranked, said, wanted
from engine import errors as tree
from tests.access.asgi_client import Refused
from tests.access.parts import build
from tests.access.test_errors import every_error
from tests.engine.parts import ScriptedModel

ROOT = Path(__file__).parents[2]
BLOCKED = "The request contains content that is not allowed."
CHINESE, TRADITIONAL = TEXTS["zh-hans"], TEXTS["zh-hant"]


@pytest.mark.parametrize("language", TEXTS)
def test_every_language_has_every_text_of_the_errors_and_no_other(language):
    assert set(TEXTS[language]) == set(TEXTS["zh-hans"])
    assert all(text.strip() == text and text for text in TEXTS[language].values())


def test_it_knows_every_text_of_the_errors_and_no_other():
    assert len(LANGUAGES) >= 16
    assert {kind.text for kind in every_error()} <= set(CHINESE)
    folders = [ROOT / folder for folder in ("access", "engine", "sessions_app")]
    written = "".join(
        path.read_text() for folder in folders for path in folder.rglob("*.py") if path.parent.name != "error_texts"
    )
    assert [text for text in CHINESE if text not in written] == []


def test_each_text_is_in_the_script_of_its_language():
    letters = {
        "ja": "[ぁ-ヶ]",
        "ko": "[가-힣]",
        "ru": "[а-я]",
        "ar": "[ء-ي]",
        "th": "[ก-๎]",
        "vi": "[ạ-ỹăâđêôơưáàãéèíìóòõúùý]",
    }
    for language, texts in TEXTS.items():
        for english, text in texts.items():
            assert text != english, (language, english)
            assert re.search(letters.get(language, "[a-zà-ÿ\u4e00-\u9fff]"), text), (language, english)
            assert set(re.findall(r"API|\d|[{%]", english)) <= set(re.findall(r"API|\d|[{%]", text)) | {"1"}
    for english, simplified in CHINESE.items():
        traditional = TRADITIONAL[english]
        assert simplified.endswith("。") and traditional.endswith("。")
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
        ("fr", b"zh-HK", "fr"),
        ("nn", b"zh-HK", "zh-hant"),
        ("eo", None, "en"),
        ("pt-BR", b"en", "pt"),
        ("in", None, "id"),
        ("yue", None, "zh-hant"),
        (None, b"fr;Q=0.2, ja", "ja"),
        (None, b"fr;q=1.5, ja;q=0.1234, de;q=0.1", "de"),
        (None, b"es;level=1, it", "it"),
        (7, b"zh", "zh-hans"),
        (None, b"eo, zh;q=0.5, en;q=0.4", "zh-hans"),
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
    assert ranked(b"de-DE-u-co-phonebk;q=0.9, zh-Hant-HK-x-a-b") == ["zh-Hant-HK-x", "de-DE-u-co"]


def test_an_error_knows_the_language_of_a_turn_that_does_not_name_one():
    error = tree.ContentBlocked()
    error.language = "ja"
    assert said(error) == TEXTS["ja"][BLOCKED]
    error.language = "zh-Hant"
    assert said(error) == TRADITIONAL[BLOCKED]
    error.language = "nn"  # which there are no texts in
    assert said(error) == BLOCKED


def test_what_names_a_detail_stays_as_it_is():
    assert said(tree.InvalidRequest("model: is missing."), "zh-hans") == "model: is missing."
    assert said(tree.InvalidRequest(), "zh-hant") == "請求無效。"


def test_openais_clients_find_the_words_they_look_for():
    english = errors.openai_body(tree.ContextTooLong())
    assert errors.openai_body(tree.ContextTooLong(), "zh-hans") == english
    assert "maximum context length" in english["error"]["message"]
    translated = errors.openai_body(tree.ContentBlocked(), "zh-hans")["error"]
    assert translated == {**errors.openai_body(tree.ContentBlocked())["error"], "message": CHINESE[BLOCKED]}


# At the edges -----------------------------------------------------------------------------------------------------


@pytest.fixture
def site():
    return build(ScriptedModel(["fine"]), words=["坏"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("language", "header", "text"),
    [
        (None, None, BLOCKED),
        ("zh-CN", None, CHINESE[BLOCKED]),
        (None, "zh-TW", TRADITIONAL[BLOCKED]),
        ("en", "zh", BLOCKED),
    ],
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
    assert CHINESE[tree.UpstreamTimeout.text] in answer.body.decode()


async def test_openais_edge_answers_in_the_callers_language(site):
    body = {"messages": [{"role": "user", "content": "坏"}]}
    answer = await site.alice.post("/v1/chat/completions", body, {"Accept-Language": "zh-CN,en;q=0.5"})
    assert (answer.status, answer.json["error"]["code"]) == (400, "content_filter")
    assert (answer.json["error"]["message"], answer.json["error"]["type"]) == (
        CHINESE[BLOCKED],
        "invalid_request_error",
    )


async def test_a_socket_answers_in_the_callers_language(site):
    async with site.alice.socket(headers={**site.alice.headers, "Accept-Language": "zh-TW"}) as socket:
        await socket.connect()
        for frame, text in (
            ({"type": "chat", "message": "坏"}, TRADITIONAL[BLOCKED]),
            ({"type": "chat", "message": "坏", "language": "zh-CN"}, CHINESE[BLOCKED]),
            ({"type": "cancel", "ref": 1}, TRADITIONAL[tree.TurnNotFound.text]),
            ({"type": "cancel", "ref": 1, "language": "en"}, tree.TurnNotFound.text),
        ):
            socket.send(frame)
            assert (await socket.until("error"))[-1]["message"] == text
    async with site.stranger.socket(headers={"Accept-Language": "zh"}) as socket:
        with pytest.raises(Refused) as refused:
            await socket.connect()
        assert CHINESE[tree.Unauthenticated.text] in refused.value.body.decode()


async def test_what_no_view_sees_is_told_in_the_callers_language(site):
    headers = {"Accept-Language": "zh"}
    answer = await site.stranger.get("/api/sessions", headers)
    assert (answer.status, answer.json["error"]["message"]) == (401, CHINESE[tree.Unauthenticated.text])
    answer = await site.alice.request("PUT", "/api/chat", headers=headers)
    assert (answer.status, answer.json["error"]["message"]) == (405, CHINESE[tree.MethodNotAllowed.text])


def test_djangos_own_pages_answer_in_the_callers_language(client):
    answer = client.get("/api/nowhere", headers={"Accept-Language": "zh-CN"})
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, CHINESE[tree.NotFound.text])
    assert languages.said(tree.NotFound()) == client.get("/api/nowhere").json()["error"]["message"]
