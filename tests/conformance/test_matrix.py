"""The matrix of formats, services and features is what the page says; what is dropped in silence is noticed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.conformance.matrix.__main__ import PAGE
from tests.conformance.matrix.features import FEATURES
from tests.conformance.matrix.formats import ChatCompletions, Format
from tests.conformance.matrix.table import FORMATS, HEAD, Silence, Stage, notes, section
from tests.conformance.matrix.vendors import OLLAMA, OPENAI, VENDORS

TOLD = "run: .venv/bin/python -m tests.conformance.matrix"
NAMED = {feature.name: feature for feature in FEATURES}


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
async def test_every_cell_is_as_the_page_says(form: Format) -> None:
    assert await section(form) in PAGE.read_text(), TOLD


def test_the_page_is_whole() -> None:
    text = PAGE.read_text()
    assert text.startswith(HEAD) and text.endswith(notes()), TOLD
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        *(f"## {form.name} (`{form.route}`)" for form in FORMATS), "## Notes",
    ]  # fmt: skip


def test_every_vendor_and_format_speaks_of_known_features() -> None:
    for vendor in VENDORS:
        assert NAMED.keys() >= {*vendor.told, *vendor.notes, *vendor.scripts, *vendor.mute}, vendor.name
    for form in FORMATS:
        assert NAMED.keys() >= form.absent | form.notes.keys() | form.told.keys(), form.name


async def test_it_notices_what_the_service_was_not_told() -> None:
    deaf = replace(OPENAI, told={**OPENAI.told, "seed": lambda body: "seed" not in body})
    with pytest.raises(Silence, match="the service got"):
        await Stage(ChatCompletions()).cell(deaf, NAMED["seed"])


async def test_it_notices_what_the_client_did_not_get() -> None:
    with pytest.raises(Silence, match="the client got"):
        await Stage(ChatCompletions()).cell(OPENAI, replace(NAMED["text"], judge=lambda got: got.said.text == "other"))
    with pytest.raises(Silence, match="instead of 404"):
        await Stage(ChatCompletions()).cell(OLLAMA, replace(NAMED["context overflow"], fails=404))
