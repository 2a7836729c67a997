"""`/api/words/{list_id}/import` and `/export`: a list as a file."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from django.db import transaction
from django.http import HttpResponse
from rest_framework.request import Request

from access.lean import JsonReply
from access.management.words import WordListAnswer, answer, known_form, own, readable
from access.views import LeanView
from compliance import wordlists
from compliance.wordfiles import as_csv, as_text, read_words
from engine.errors import InvalidRequest

MODES: Final = ("replace", "add")
FORMATS: Final = {"text": "text/plain; charset=utf-8", "csv": "text/csv; charset=utf-8"}


class ImportView(LeanView):
    """POST a file's bytes, UTF-8: one word a line, or with the content type `text/csv` the first column. `?mode=`:
    `replace` (unless told) all words, or `add` to them. At most 2 MiB; what is larger goes in parts."""

    area = "words"
    http_method_names = ["post"]

    async def post(self, request: Request, list_id: str, **kwargs: Any) -> JsonReply:
        mode = request.GET.get("mode", "replace")
        if mode not in MODES:
            raise InvalidRequest(f"mode must be {' or '.join(MODES)}.", param="mode")
        kind = self.lean_request.headers_raw.get(b"content-type", b"").partition(b";")[0].strip().lower()
        file = (self.lean_request.body, kind == b"text/csv")
        work = partial(take, self.principal.tenant_id, known_form(list_id), file, mode, self.principal.subject)
        return self.json(await self.parts.rows.run(work))


class ExportView(LeanView):
    """GET `?format=text|csv`: the words of a list as a file that can be imported again."""

    area = "words"
    http_method_names = ["get"]

    async def get(self, request: Request, list_id: str, **kwargs: Any) -> HttpResponse:
        form = request.GET.get("format", "text")
        if form not in FORMATS:
            raise InvalidRequest(f"format must be {' or '.join(FORMATS)}.", param="format")
        words = await self.parts.rows.run(partial(give, self.principal.tenant_id, known_form(list_id)))
        return as_download(words, form, f"words-{list_id}")


def take(tenant_id: int, list_id: int, file: tuple[bytes, bool], mode: str, by: str) -> WordListAnswer:
    """`file`: its bytes, and whether they are CSV. Raises NotFound, Forbidden, ValidationError."""
    data, is_csv = file
    words = read_words(data, is_csv=is_csv)
    with transaction.atomic():
        row = own(tenant_id, list_id)
        if mode == "add":
            return answer(wordlists.add_words(words=row, more=words, by=by, note="import"))
        row.words = "\n".join(words)
        return answer(wordlists.save_list(words=row, by=by, note="import"))


def give(tenant_id: int, list_id: int) -> list[str]:
    """Raises NotFound, Forbidden."""
    return readable(tenant_id, list_id).words.splitlines()


def as_download(words: list[str], form: str, name: str) -> HttpResponse:
    response = HttpResponse((as_csv if form == "csv" else as_text)(words), content_type=FORMATS[form])
    response["Content-Disposition"] = f'attachment; filename="{name}.{"csv" if form == "csv" else "txt"}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "no-store"
    return response
