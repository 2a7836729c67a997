"""Pages around word lists: versions, hits, the test bench, files, subscriptions, exceptions."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, RequestFactory

from access.console.bridge import SCOPE_KEY, EngineBridge
from access.console.word_bench import bench_view
from access.console.word_form import SEEN_THROUGH
from compliance.compiling import compile_guard
from compliance.hits import HitCounter, HitWriter
from compliance.models import SensitiveWordList, WordExceptions, WordListSubscription
from compliance.wordlists import replace_words, subscribe, versions_of
from engine.snapshots import Cell
from engine.types import Verdict
from tests.access.console.screens import NAUGHTY

LISTS = "/admin/compliance/sensitivewordlist/"


def path(words: SensitiveWordList, page: str = "change") -> str:
    return f"{LISTS}{words.pk}/{page}/"


def shown(console: Client, page: str, **data: Any) -> str:
    answer = console.post(page, data) if data else console.get(page)
    assert answer.status_code == 200, answer.status_code
    text = answer.content.decode()
    assert "<script>alert(1)" not in text
    return text


@pytest.fixture
def rude(cast: SimpleNamespace) -> SensitiveWordList:
    replace_words(tenant=cast.acme, name="rude", words=["bad", NAUGHTY[:60]], action="record", by=NAUGHTY)
    return replace_words(tenant=cast.acme, name="rude", words=["bad", "worse"], action="mask", note=NAUGHTY)


# The form ---------------------------------------------------------------------------------------------------------


def test_it_saves_switches_and_who_did_it(console: Client, cast: SimpleNamespace, operator: Any) -> None:
    fields = {"name": "L", "action": "record", "direction": "both", "enabled": "on", "words": "one"}
    assert (
        console.post(f"{LISTS}add/", {**fields, "switches": ["pinyin", "forms"], "mandatory": "on"}).status_code == 302
    )
    row = SensitiveWordList.objects.everywhere().get()
    assert (row.tenant_id, row.switches, row.mandatory, row.public) == (None, ["forms", "pinyin"], True, False)
    assert row.updated_by == f"operator:{operator.pk}"
    assert console.post(path(row), {**fields, "switches": ["pinyin", "forms"], "mandatory": "on"}).status_code == 302
    assert versions_of(row).count() == 1, "saved unchanged it is no new version"
    assert console.post(path(row), fields).status_code == 302
    row.refresh_from_db()
    assert (row.switches, row.mandatory, row.version) == ([], False, 2)


def test_a_new_list_has_the_usual_switches_ticked(console: Client, cast: SimpleNamespace) -> None:
    form = console.get(f"{LISTS}add/").context["adminform"].form
    assert form["switches"].value() == ["traditional", "forms", "invisible", "symbols", "repeats"]


def test_only_the_platforms_lists_are_mandatory_or_public(console: Client, cast: SimpleNamespace) -> None:
    fields = {"name": "L", "tenant": cast.acme.pk, "action": "record", "direction": "both", "words": "one"}
    answer = console.post(f"{LISTS}add/", {**fields, "mandatory": "on", "public": "on"})
    assert {"mandatory", "public"} <= set(answer.context["adminform"].form.errors)
    console.post(f"{LISTS}add/", {**fields, "tenant": ""})
    again = console.post(f"{LISTS}add/", {**fields, "tenant": ""})
    assert list(again.context["adminform"].form.errors) == ["name"]


def test_a_button_leads_to_the_next_stage(console: Client, rude: SensitiveWordList) -> None:
    assert "On to the next stage?" in console.get(path(rude, "promote")).content.decode()
    for _ in range(2):
        answer = console.post(path(rude, "promote"), {"_form_submitted": "True"})
        assert answer.headers["HX-Redirect"] == path(rude)
    rude.refresh_from_db()
    assert (rude.action, rude.version) == ("block", 3)
    assert "that is the last stage" in console.get(path(rude)).content.decode()


def test_it_downloads_csv(console: Client, cast: SimpleNamespace) -> None:
    row = replace_words(tenant=cast.acme, name="L", words=["one, two", "three"])
    answer = console.get(path(row, "download-csv"))
    assert answer.content.decode() == '"one, two"\nthree\n'
    assert answer.headers["Content-Disposition"].endswith('-v1.csv"')


# Versions ---------------------------------------------------------------------------------------------------------


def test_it_shows_versions_and_what_changed(console: Client, rude: SensitiveWordList) -> None:
    text = shown(console, path(rude, "versions"))
    assert "<ins>worse</ins>" in text and "<del>&lt;script&gt;" in text
    assert "record → mask" in text
    replace_words(tenant=rude.tenant, name="rude", words=["bad"])
    text = shown(console, f"{path(rude, 'versions')}?before=1&after=2")
    assert "<ins>worse</ins>" in text
    for nonsense in ("?before=7&after=9", "?before=x", "?after=99999999999999999999", "?before=-1&after=0"):
        assert "<del>worse</del>" in shown(console, path(rude, "versions") + nonsense)


def test_it_rolls_back(console: Client, rude: SensitiveWordList, operator: Any) -> None:
    answer = console.post(path(rude, "versions"), {"version": 1}, follow=True)
    assert "Rolled back to version 1, as version 3" in answer.content.decode()
    rude.refresh_from_db()
    assert (rude.version, rude.action) == (3, "record")
    assert rude.words.splitlines()[1] == NAUGHTY[:60]
    assert versions_of(rude).first().saved_by == f"operator:{operator.pk}"
    for wrong in ("9", "", "x", "99999999999999999999"):
        assert "There is no such version" in shown(console, path(rude, "versions"), version=wrong)
    assert versions_of(rude).count() == 3


def test_a_list_that_is_gone_is_told(console: Client, rude: SensitiveWordList) -> None:
    for page in ("versions", "hits"):
        answer = console.get(f"{LISTS}999/{page}/", follow=True)
        assert "There is no such word list" in answer.content.decode()


# Hits -------------------------------------------------------------------------------------------------------------


def test_it_shows_hits_and_what_the_next_stage_would_do(console: Client, rude: SensitiveWordList) -> None:
    assert "0 hits in the last 14 days" in shown(console, path(rude, "hits"))
    counter = HitCounter()
    for _ in range(3):
        counter.add(1, [Verdict("rude", 1, NAUGHTY, "record", "input", rude.pk)])
    counter.add(2, [Verdict("rude", 1, "bad", "mask", "output", rude.pk)])
    HitWriter(counter).flush()
    SensitiveWordList.objects.everywhere().update(action="record")
    text = shown(console, path(rude, "hits"))
    assert "4 hits in the last 14 days" in text
    assert "3 of them were only recorded: that many would have been masked" in text
    assert text.index("&lt;script&gt;alert(1)") < text.index("bad")
    assert "Next stage: mask" in text
    for stage in ("Mask", "Block"):
        answer = console.post(path(rude, "hits"), follow=True)
        assert f"Its stage is now: {stage}." in answer.content.decode()
    assert "Next stage" not in shown(console, path(rude, "hits"))
    assert "that is the last stage" in console.post(path(rude, "hits"), follow=True).content.decode()


# The test bench ---------------------------------------------------------------------------------------------------


def test_it_tries_a_text_by_a_tenants_lists(console: Client, cast: SimpleNamespace, rude: SensitiveWordList) -> None:
    shared = replace_words(tenant=None, name=NAUGHTY, words=["坏人"])
    subscribe(tenant_id=cast.acme.pk, words=shared)
    fields = {"direction": "both", "action": "block", "text": f"So bad {NAUGHTY}"}
    text = shown(console, f"{LISTS}try/", **fields, tenant="acme")
    assert "The model gets:" in text and "So *** &lt;script&gt;" in text
    assert text.count(f'href="{path(rude)}"') == 2
    text = shown(console, f"{LISTS}try/", **{**fields, "text": "你是坏人"}, tenant="acme")
    assert "The turn is refused: content_blocked." in text
    assert "The answer ends early, with content_filter." in text and "你是</pre>" in text
    assert "Passes unchanged." in shown(console, f"{LISTS}try/", **fields, tenant="globex")
    assert "Passes unchanged." in shown(console, f"{LISTS}try/", **fields, tenant="")


def test_it_tries_words_nobody_saved(console: Client, cast: SimpleNamespace) -> None:
    fields = {"direction": "input", "action": "mask", "text": "b a d", "words": "bad"}
    assert "*****" in shown(console, f"{LISTS}try/", **fields, switches=["symbols"])
    assert "Passes unchanged." in shown(console, f"{LISTS}try/", **fields)
    assert "Line 1: longer than 64" in shown(console, f"{LISTS}try/", **{**fields, "words": "x" * 65})
    assert not SensitiveWordList.objects.everywhere().exists()


@pytest.mark.parametrize("switch", ["traditional", "pinyin", "initials", "homophones"])
def test_what_a_switch_is_said_to_see_it_sees(console: Client, cast: SimpleNamespace, switch: str) -> None:
    example = re.search(r"\((\S+) for (\S+)\)", str(SEEN_THROUGH[switch]))
    assert example is not None
    fields = {"direction": "input", "action": "block", "text": example[1], "words": example[2]}
    assert "The turn is refused" in shown(console, f"{LISTS}try/", **fields, switches=[switch])
    assert "Passes unchanged." in shown(console, f"{LISTS}try/", **fields)


def test_it_tries_by_what_this_worker_has(cast: SimpleNamespace, rude: SensitiveWordList) -> None:
    before = Cell(compile_guard())
    rude.delete()
    request = RequestFactory().post("/", {"tenant": "acme", "direction": "input", "action": "block", "text": "bad"})
    request.user = AnonymousUser()
    request.scope = {SCOPE_KEY: EngineBridge(None, None, None, None, before)}
    [tried] = bench_view(request)["tried"]
    assert (tried["outcome"], tried["text"]) == ("mask", "***")


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"tenant": "nobody"}, "tenant"), ({"text": ""}, "text"), ({"direction": "up"}, "direction"),
     ({"switches": ["telepathy"]}, "switches"), ({"text": "x" * 100_001}, "text")],
)  # fmt: skip
def test_it_says_what_it_cannot_try(
    console: Client, cast: SimpleNamespace, changes: dict[str, Any], field: str
) -> None:
    fields = {"tenant": "acme", "direction": "input", "action": "block", "text": "bad", **changes}
    answer = console.post(f"{LISTS}try/", fields)
    assert list(answer.context["form"].errors) == [field]


# Files ------------------------------------------------------------------------------------------------------------


def files(**contents: bytes) -> list[SimpleUploadedFile]:
    return [SimpleUploadedFile(name.replace("_", "."), data) for name, data in contents.items()]


def test_it_imports_a_list_a_file(console: Client, cast: SimpleNamespace) -> None:
    page = {"tenant": "acme", "uploads": files(rude_txt=b"bad\n", spam_csv=b"buy,x\n")}
    answer = console.post(f"{LISTS}import/", page, follow=True)
    assert "rude: 1, spam: 1" in answer.content.decode()
    rows = SensitiveWordList.objects.for_tenant(cast.acme.pk)
    assert [(each.name, each.words, each.action) for each in rows] == [
        ("rude", "bad", "record"),
        ("spam", "buy", "record"),
    ]
    console.post(f"{LISTS}import/", {"tenant": "acme", "action": "block", "uploads": files(rude_txt=b"worse\n")})
    assert (rows.get(name="rude").words, rows.get(name="rude").action) == ("worse", "block")


def test_it_imports_all_files_into_one_list(console: Client, cast: SimpleNamespace) -> None:
    console.post(f"{LISTS}import/", {"name": "all", "uploads": files(a_txt=b"one\n", b_txt=b"two\none\n")})
    row = SensitiveWordList.objects.everywhere().get()
    assert (row.tenant_id, row.name, row.words) == (None, "all", "one\ntwo")


def test_it_imports_nothing_where_a_file_is_wrong(console: Client, cast: SimpleNamespace) -> None:
    for uploads, said in (
        (files(a_txt=b"fine", b_txt=b"\xff", c_csv=b"x" * 65), "b.txt:1: not UTF-8 text."),
        (files(a_pdf=b"\xff"), "a.pdf:1: not UTF-8"),
        ([], "Choose at least one file."),
        (files(**{f"f{number}_txt": b"x" for number in range(51)}), "At most 50 files at once."),
    ):
        answer = console.post(f"{LISTS}import/", {"uploads": uploads})
        assert said in answer.context["form"].errors["uploads"][0]
    assert not SensitiveWordList.objects.everywhere().exists()


def test_it_refuses_two_files_for_one_list(console: Client, cast: SimpleNamespace) -> None:
    page = {"tenant": "acme", "uploads": files(rude_txt=b"bad\n", rude_csv=b"worse\n")}
    answer = console.post(f"{LISTS}import/", page)
    assert answer.context["form"].errors["uploads"] == ["Several files would be the list rude."]
    assert not SensitiveWordList.objects.everywhere().exists()
    console.post(f"{LISTS}import/", {**page, "name": "all", "uploads": files(rude_txt=b"bad\n", rude_csv=b"worse\n")})
    assert SensitiveWordList.objects.for_tenant(cast.acme.pk).get().words == "bad\nworse"


def test_a_chosen_files_name_has_a_place_that_is_no_field(console: Client) -> None:
    page = console.get(f"{LISTS}import/").content.decode()
    chosen = page.index('type="file"')
    assert page[chosen:].split('<input type="text"')[1].startswith(" disabled hidden>")
    assert page[:chosen].rsplit("<", 4)[1:4] == ["div>", "div>", "div>"]


# Subscriptions and exceptions -------------------------------------------------------------------------------------


def test_it_subscribes_tenants(console: Client, cast: SimpleNamespace, rude: SensitiveWordList, operator: Any) -> None:
    shared = replace_words(tenant=None, name="shared", words=["bad"])
    add = "/admin/compliance/wordlistsubscription/add/"
    assert console.post(add, {"tenant": cast.acme.pk, "list": shared.pk, "action": "mask"}).status_code == 302
    row = WordListSubscription.objects.everywhere().get()
    assert (row.tenant_id, row.list_id, row.action) == (cast.acme.pk, shared.pk, "mask")
    assert row.updated_by == f"operator:{operator.pk}"
    again = console.post(add, {"tenant": cast.acme.pk, "list": shared.pk})
    assert list(again.context["adminform"].form.errors) == ["list"]
    own = console.post(add, {"tenant": cast.globex.pk, "list": rude.pk})
    assert list(own.context["adminform"].form.errors) == ["list"]


def test_it_keeps_exceptions(console: Client, cast: SimpleNamespace) -> None:
    add = "/admin/compliance/wordexceptions/add/"
    assert console.post(add, {"tenant": cast.acme.pk, "words": "badge\r\n\r\n BADGE \r\n"}).status_code == 302
    row = WordExceptions.objects.for_tenant(cast.acme.pk).get()
    assert (row.words, row.size, row.version) == ("badge", 1, 1)
    again = console.post(add, {"tenant": cast.acme.pk, "words": "x"})
    assert list(again.context["adminform"].form.errors) == ["tenant"]
    wrong = console.post(
        f"/admin/compliance/wordexceptions/{row.pk}/change/", {"tenant": cast.acme.pk, "words": "x" * 65}
    )
    assert list(wrong.context["adminform"].form.errors) == ["words"]
