from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from access.console.word_form import EDITABLE
from compliance.models import SensitiveWordList
from tests.access.console.screens import word_list

ADD = "/admin/compliance/sensitivewordlist/add/"


def fields(cast: SimpleNamespace, **more: Any) -> dict[str, Any]:
    return {"name": "L", "tenant": cast.acme.pk, "action": "block", "direction": "both", "enabled": "on", **more}


def saved() -> SensitiveWordList:
    return SensitiveWordList.objects.everywhere().get()


def test_it_saves_words_line_by_line(console: Client, cast: SimpleNamespace) -> None:
    assert console.post(ADD, fields(cast, words="one\r\n two \r\n\r\nONE")).status_code == 302
    assert (saved().words, saved().size, saved().version) == ("one\ntwo", 2, 1)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("words.txt", "\ufeff敏感\r\n词\n".encode(), "敏感\n词"),
        ("words.csv", b'one,first\n"two, three",second\n', "one\ntwo, three"),
    ],
)
def test_it_takes_words_from_a_file(
    console: Client, cast: SimpleNamespace, name: str, content: bytes, words: str
) -> None:
    assert console.post(ADD, fields(cast, words="old", file=SimpleUploadedFile(name, content))).status_code == 302
    assert saved().words == words


@pytest.mark.parametrize(
    ("content", "message"),
    [("敏感".encode("gb18030"), "not UTF-8"), (b"ok\n" + b"x" * 65, "w.txt:2: longer"), (b"a\x07b", "control")],
)
def test_it_says_what_is_wrong_with_a_file(
    console: Client, cast: SimpleNamespace, content: bytes, message: str
) -> None:
    answer = console.post(ADD, fields(cast, file=SimpleUploadedFile("w.txt", content)))
    assert message in answer.context["adminform"].form.errors["file"][0]


def test_it_says_what_is_wrong_with_words(console: Client, cast: SimpleNamespace) -> None:
    answer = console.post(ADD, fields(cast, words="x" * 65))
    assert "Line 1: longer" in answer.context["adminform"].form.errors["words"][0]
    word_list(cast.acme, name="L")
    answer = console.post(ADD, fields(cast, words="x"))
    assert list(answer.context["adminform"].form.errors) == ["name"]


def test_it_keeps_long_lists_out_of_the_page(console: Client, cast: SimpleNamespace) -> None:
    words = "\n".join(f"word{number}" for number in range(EDITABLE + 1))
    row = word_list(cast.acme, words=words, name="L")
    page = f"/admin/compliance/sensitivewordlist/{row.pk}/change/"
    assert "word7" not in console.get(page).content.decode()
    assert console.post(page, fields(cast, action="mask", words="gone")).status_code == 302
    assert (saved().action, saved().words) == ("mask", words)
    new = SimpleUploadedFile("w.txt", b"new")
    assert console.post(page, fields(cast, file=new)).status_code == 302
    assert saved().words == "new"


def test_it_downloads_a_list(console: Client, cast: SimpleNamespace) -> None:
    row = word_list(cast.globex, words="一\ntwo")
    answer = console.get(f"/admin/compliance/sensitivewordlist/{row.pk}/download/")
    assert answer.content.decode() == "一\ntwo\n"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith("attachment")
