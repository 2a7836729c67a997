"""`/api/words`: a tenant's own lists, their versions and files, and the platform's it can have."""

import pytest
from django.db import OperationalError

from access import openapi
from access.management import word_choices, word_versions, words
from compliance.compiling import compile_guard
from compliance.models import SensitiveWordList, WordListSubscription
from compliance.wordlists import replace_words
from tenants.models import ConfigVersion
from tests.access.managed import managed
from tests.access.test_openapi import strict
from tests.cast import ALICE

LIST = {
    "name": "rude", "words": ["bad", "坏人"], "action": "record", "direction": "input", "switches": ["forms", "pinyin"],
    "enabled": True,
}  # fmt: skip
UNKNOWN = ["999999", "0", "-1", "01", "1.0", "x", "%00", "9" * 30, "١", "null"]


@pytest.fixture
async def site(transactional_db, cast):
    async with managed() as site:
        yield site


@pytest.fixture
async def shared(site):
    """The platform's: one whose words are shown, one whose are not, one that is off and a mandatory one."""

    def make():
        return {
            name: replace_words(tenant=None, name=name, words=[f"{name} word"], by="operator:1", **fields).pk
            for name, fields in {
                "open": {"public": True, "action": "mask"},
                "closed": {},
                "off": {"enabled": False},
                "law": {"mandatory": True, "action": "mask"},
            }.items()
        }

    return await site.rows(make)


async def made(client, **changes):
    answer = await client.post("/api/words", {**LIST, **changes})
    assert answer.status == 201, answer.json
    return answer.json


async def refused(answer, status, code, param=None):
    error = answer.json["error"]
    assert (answer.status, error["code"], error.get("param")) == (status, code, param)
    return error["message"]


def stored():
    return list(SensitiveWordList.objects.everywhere().order_by("id"))


# A tenant's own ---------------------------------------------------------------------------------------------------


async def test_it_makes_lists_reads_and_deletes(site):
    found = await made(site.alice)
    assert {name: found[name] for name in LIST} == LIST
    assert (found["scope"], found["size"], found["version"], found["applies"]) == ("tenant", 2, 1, True)
    strict(words.WordListDetail, found)
    path = f"/api/words/{found['id']}"
    assert (await site.alice.get(f"{path}/")).json == found
    listed = (await site.alice.get("/api/words/")).json["lists"]
    assert listed == [{name: value for name, value in found.items() if name != "words"}]
    [row] = await site.rows(stored)
    assert (row.tenant_id, row.words, row.updated_by) == (ALICE.company.id, "bad\n坏人", ALICE.key_principal.subject)
    answer = await site.alice.request("DELETE", path)
    assert (answer.status, answer.body) == (204, b"")
    await refused(await site.alice.get(path), 404, "not_found")


async def test_it_needs_no_more_than_a_name(site):
    answer = await site.alice.post("/api/words", {"name": "empty"})
    assert answer.status == 201
    assert (answer.json["words"], answer.json["action"], answer.json["direction"]) == ([], "block", "both")
    assert answer.json["switches"] == ["traditional", "forms", "invisible", "symbols", "repeats"]


async def test_it_changes_what_is_named_and_replaces_as_a_whole(site):
    found = await made(site.alice)
    path = f"/api/words/{found['id']}"
    patched = (await site.alice.request("PATCH", path, {"action": "mask", "words": ["worse"]})).json
    assert (patched["action"], patched["words"], patched["direction"], patched["version"]) == (
        "mask", ["worse"], "input", 2,
    )  # fmt: skip
    put = (await site.alice.request("PUT", path, {"name": "new"})).json
    assert (put["name"], put["words"], put["action"], put["direction"], put["version"]) == (
        "new",
        [],
        "block",
        "both",
        3,
    )
    assert (await site.alice.request("PATCH", path, {"name": "new"})).json["version"] == 3
    await refused(await site.alice.request("PUT", path, {"words": []}), 400, "invalid_request", "name")


@pytest.mark.parametrize(
    ("changes", "param", "said"),
    [
        ({"words": ["fine", "x" * 65]}, "words", "Line 2: longer than 64"),
        ({"words": ["two\nlines"]}, "words", "Line 1: holds a control"),
        ({"words": ["a\u2028b"]}, "words", "Line 1: holds a control"),
        ({"words": [1]}, "words[0]", ""),
        ({"words": "bad"}, "words", ""),
        ({"name": ""}, "name", ""),
        ({"name": " "}, "name", ""),
        ({"name": "x" * 101}, "name", ""),
        ({"name": "a\x07b"}, "name", ""),
        ({"action": "shout"}, "action", ""),
        ({"direction": "up"}, "direction", ""),
        ({"switches": ["telepathy"]}, "switches", "is none of"),
        ({"switches": "forms"}, "switches", ""),
        ({"enabled": "yes"}, "enabled", ""),
        ({"mandatory": True}, "mandatory", "unknown field"),
        ({"public": True}, "public", "unknown field"),
        ({"tenant": 2}, "tenant", "unknown field"),
    ],
)
async def test_it_names_the_field_that_is_wrong(site, changes, param, said):
    assert said in await refused(
        await site.alice.post("/api/words", {**LIST, **changes}), 400, "invalid_request", param
    )
    assert await site.rows(stored) == []


async def test_a_name_is_there_once(site):
    await made(site.alice)
    message = await refused(await site.alice.post("/api/words", LIST), 400, "invalid_request")
    assert "already exists" in message
    assert (await site.charlie.post("/api/words", LIST)).status == 201


@pytest.mark.parametrize("unknown", UNKNOWN)
async def test_an_unknown_id_is_404_everywhere(site, unknown):
    for method, path, body in [
        ("GET", "", None), ("PATCH", "", {}), ("DELETE", "", None), ("GET", "/versions", None), ("GET", "/diff", None),
        ("GET", "/versions/1", None), ("POST", "/rollback", {"version": 1}), ("POST", "/promote", None),
        ("PUT", "/subscription", {}), ("DELETE", "/subscription", None), ("GET", "/export", None),
        ("GET", "/hits", None), ("POST", "/import", None),
    ]:  # fmt: skip
        await refused(await site.alice.request(method, f"/api/words/{unknown}{path}", body), 404, "not_found")


async def test_charlie_finds_nothing_of_alices(site):
    found = await made(site.alice)
    path = f"/api/words/{found['id']}"
    for method, more, body in [
        ("GET", "", None), ("PUT", "", LIST), ("PATCH", "", {"enabled": False}), ("DELETE", "", None),
        ("GET", "/versions", None), ("GET", "/versions/1", None), ("GET", "/diff", None),
        ("POST", "/rollback", {"version": 1}), ("POST", "/promote", None), ("PUT", "/subscription", {}),
        ("DELETE", "/subscription", None), ("GET", "/export", None), ("GET", "/hits", None), ("POST", "/import", None),
    ]:  # fmt: skip
        answer = await site.charlie.request(method, path + more, body)
        await refused(answer, 404, "not_found")
        assert "坏人" not in answer.body.decode()
    assert (await site.charlie.get("/api/words")).json == {"lists": []}
    await site.alice.request("PUT", "/api/words/exceptions", {"words": ["badge"]})
    assert (await site.charlie.get("/api/words/exceptions")).json["words"] == []
    test = {"text": "bad", "lists": [found["id"]]}
    await refused(await site.charlie.post("/api/words/test", test), 404, "not_found")
    assert (await site.alice.get(path)).json == found


async def test_only_managers_get_in(site):
    for method, path, body in [("GET", "", None), ("POST", "", LIST), ("GET", "/exceptions", None),
                               ("POST", "/test", {"text": "x"}), ("GET", "/1", None)]:  # fmt: skip
        await refused(await site.bob.request(method, f"/api/words{path}", body), 403, "forbidden")
        await refused(await site.site.stranger.request(method, f"/api/words{path}", body), 401, "unauthenticated")


async def test_a_database_that_is_away_is_told(site, monkeypatch):
    def away(*_):
        raise OperationalError("away")

    monkeypatch.setattr(words, "listed", away)
    await refused(await site.alice.get("/api/words"), 503, "store_unavailable")


# Versions ---------------------------------------------------------------------------------------------------------


async def test_it_keeps_versions_and_goes_back(site):
    found = await made(site.alice)
    path = f"/api/words/{found['id']}"
    assert await refused(await site.alice.get(f"{path}/diff"), 400, "invalid_request", "before")
    await site.alice.request("PATCH", path, {"words": ["坏人", "worse"], "action": "mask"})
    page = (await site.alice.get(f"{path}/versions")).json["versions"]
    strict(word_versions.VersionAnswer, page[0])
    assert [(each["version"], each["size"], each["saved_by"]) for each in page] == [(2, 2, "key:1"), (1, 2, "key:1")]
    first = (await site.alice.get(f"{path}/versions/1")).json
    assert (first["words"], first["action"]) == (["bad", "坏人"], "record")
    between = (await site.alice.get(f"{path}/diff")).json
    strict(word_versions.DifferenceAnswer, between)
    assert (between["before"], between["after"], between["added"], between["removed"]) == (1, 2, ["worse"], ["bad"])
    assert between["settings"] == [{"name": "action", "before": "record", "after": "mask"}]
    assert (await site.alice.get(f"{path}/diff?before=2&after=1")).json["added"] == ["bad"]
    back = (await site.alice.post(f"{path}/rollback", {"version": 1})).json
    assert (back["words"], back["action"], back["version"]) == (["bad", "坏人"], "record", 3)
    await refused(await site.alice.get(f"{path}/versions/9"), 404, "not_found")
    await refused(await site.alice.get(f"{path}/versions/x"), 404, "not_found")
    await refused(await site.alice.get(f"{path}/diff?before=x"), 400, "invalid_request", "before")
    for body in ({"version": 9}, {"version": 0}, {"version": "1"}):
        await refused(await site.alice.post(f"{path}/rollback", body), 400, "invalid_request", "version")


async def test_it_goes_through_its_stages(site):
    path = f"/api/words/{(await made(site.alice))['id']}"
    assert [(await site.alice.post(f"{path}/promote")).json["action"] for _ in range(2)] == ["mask", "block"]
    assert "last stage" in await refused(await site.alice.post(f"{path}/promote"), 400, "invalid_request", "action")


# Files ------------------------------------------------------------------------------------------------------------


async def test_it_takes_and_gives_files(site):
    path = f"/api/words/{(await made(site.alice))['id']}"

    async def send(data, kind="text/plain", query=""):
        return await site.alice.request("POST", f"{path}/import{query}", data, headers={"Content-Type": kind})

    assert (await send("one\n\n坏 人\n".encode())).json["size"] == 2
    assert (await send(b'"two, too",x\n', "text/csv; charset=utf-8", "?mode=add")).json["size"] == 3
    text = await site.alice.get(f"{path}/export")
    assert (text.body.decode(), text.headers["content-type"]) == ("one\n坏 人\ntwo, too\n", "text/plain; charset=utf-8")
    table = await site.alice.get(f"{path}/export?format=csv")
    assert table.body.decode() == 'one\n坏 人\n"two, too"\n'
    assert table.headers["content-disposition"].endswith('.csv"')
    assert "Line 2: not UTF-8" in await refused(await send(b"ok\n\xff"), 400, "invalid_request", "words")
    assert "Line 3: longer" in await refused(await send(b"ok\n\n" + b"x" * 65), 400, "invalid_request", "words")
    await refused(await send(b"ok", query="?mode=burn"), 400, "invalid_request", "mode")
    await refused(await site.alice.get(f"{path}/export?format=xlsx"), 400, "invalid_request", "format")
    assert (await send("\n".join(f"w{n}" for n in range(60_000)).encode())).json["size"] == 60_000
    await refused(await send(b"x\n" * (2**20 + 1)), 413, "payload_too_large")


# The platform's ---------------------------------------------------------------------------------------------------


async def test_it_shows_what_the_platform_offers_and_not_its_words(site, shared):
    page = {each["name"]: each for each in (await site.alice.get("/api/words")).json["lists"]}
    assert set(page) == {"open", "closed", "law"}
    assert [page[name]["applies"] for name in ("open", "closed", "law")] == [False, False, True]
    assert page["law"]["applied_action"] == "mask"
    assert (await site.alice.get(f"/api/words/{shared['open']}")).json["words"] == ["open word"]
    for name in ("closed", "law"):
        path = f"/api/words/{shared[name]}"
        assert (await site.alice.get(path)).json["words"] is None
        for more in ("/export", "/versions", "/versions/1", "/diff"):
            answer = await site.alice.get(path + more)
            await refused(answer, 403, "forbidden")
            assert f"{name} word" not in answer.body.decode()
    for more in ("", "/export", "/versions", "/hits"):
        await refused(await site.alice.get(f"/api/words/{shared['off']}{more}"), 404, "not_found")
    [version] = (await site.alice.get(f"/api/words/{shared['open']}/versions")).json["versions"]
    assert (version["version"], version["saved_by"]) == (1, "platform")


async def test_the_platforms_lists_are_not_a_tenants_to_change(site, shared):
    before = await site.rows(lambda: [(each.pk, each.version) for each in stored()])
    path = f"/api/words/{shared['open']}"
    for method, more, body in [
        ("PUT", "", LIST), ("PATCH", "", {"enabled": False}), ("DELETE", "", None), ("POST", "/promote", None),
        ("POST", "/rollback", {"version": 1}), ("POST", "/import", None),
    ]:  # fmt: skip
        await refused(await site.alice.request(method, path + more, body), 403, "forbidden")
    assert await site.rows(lambda: [(each.pk, each.version) for each in stored()]) == before


async def test_it_subscribes_and_no_longer(site, shared):
    def announced():
        return ConfigVersion.objects.get(section="guard").version

    path, before = f"/api/words/{shared['closed']}/subscription", await site.rows(announced)
    first = (await site.alice.request("PUT", path)).json
    strict(words.WordListAnswer, first)
    assert (first["applies"], first["applied_action"]) == (True, "block")
    assert (await site.alice.request("PUT", path, {"action": "record"})).json["applied_action"] == "record"
    assert (await site.alice.request("PUT", path, {"action": "record"})).status == 200
    rows = await site.rows(lambda: list(WordListSubscription.objects.everywhere()))
    assert [(each.tenant_id, each.list_id, each.action) for each in rows] == [(1, shared["closed"], "record")]
    assert (await site.charlie.get(f"/api/words/{shared['closed']}")).json["applies"] is False
    for _ in range(2):
        assert (await site.alice.request("DELETE", path)).status == 204
    assert await site.rows(announced) == before + 3, "what changes nothing is not announced"
    law = await site.alice.request("PUT", f"/api/words/{shared['law']}/subscription", {"action": "record"})
    assert law.json["applied_action"] == "mask"
    for body, param in (({"action": "shout"}, "action"), ({"list": 1}, "list")):
        await refused(await site.alice.request("PUT", path, body), 400, "invalid_request", param)
    own = (await made(site.alice))["id"]
    await refused(await site.alice.request("PUT", f"/api/words/{own}/subscription", {}), 400, "invalid_request")


# Exceptions -------------------------------------------------------------------------------------------------------


async def test_it_keeps_exceptions(site, shared):
    site.site.parts.words.swap(await site.rows(compile_guard))
    empty = (await site.alice.get("/api/words/exceptions")).json
    strict(word_choices.ExceptionsAnswer, empty)
    assert (empty["words"], empty["version"]) == ([], 0)
    put = (
        await site.alice.request("PUT", "/api/words/exceptions", {"words": ["badge ", "", "BADGE", "a law word"]})
    ).json
    assert (put["words"], put["version"], put["ineffective"]) == (["badge", "a law word"], 1, ["a law word"])
    body = {"add": ["好人"], "remove": ["badge", "nothing"]}
    patched = (await site.alice.request("PATCH", "/api/words/exceptions", body)).json
    assert (patched["words"], patched["version"]) == (["a law word", "好人"], 2)
    assert (await site.alice.request("PATCH", "/api/words/exceptions", {})).json["version"] == 2
    for body, param in (({"words": ["x" * 65]}, "words"), ({"word": []}, "word"), ({"words": [2]}, "words[0]")):
        await refused(await site.alice.request("PUT", "/api/words/exceptions", body), 400, "invalid_request", param)


def test_the_description_names_the_bodies():
    assert {"WordListBody", "WordTestBody", "SubscriptionBody", "ExceptionsPatch"} <= {
        one.body.__name__ for found in openapi.OPERATIONS.values() for one in found if one.body
    }
