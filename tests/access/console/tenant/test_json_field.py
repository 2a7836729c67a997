"""JSON in the consoles' forms: whatever is typed is kept, or refused at the field."""

from __future__ import annotations

import pytest
from django import forms

from access.console.json_field import JsonField

HUGE = [
    "[" * 3_000,
    "[" * 100 + "]" * 100,
    "9" * 5_000,
    "NaN",
    "[Infinity]",
    '"\\u0000"',
    '{"a\\u0000": 1}',
    '"\\ud800"',
    "{",
    "1e999",
]


class Form(forms.Form):
    found = JsonField(required=False)


@pytest.mark.parametrize("text", HUGE)
def test_it_refuses_at_the_field_and_shows_what_was_typed(text):
    form = Form({"found": text}, initial={"found": {}})
    assert list(form.errors) == ["found"]
    assert form.changed_data == ["found"]
    assert form["found"].value() == text


@pytest.mark.parametrize(
    ("text", "value"), [('{"a": [1, null, "é"]}', {"a": [1, None, "é"]}), ("", None), ('"x"', "x"), ("0", 0)]
)
def test_it_reads_json(text, value):
    form = Form({"found": text})
    assert form.is_valid(), form.errors
    assert form.cleaned_data["found"] == value
    assert form["found"].value() == text


@pytest.mark.parametrize("text", HUGE)
def test_a_model_with_such_options_is_refused_at_the_field(cast, alice, text):
    fields = {"name": "own", "adapter": "openai_compatible", "endpoint": "https://api.example.com/v1", "options": text}
    answer = alice.post("/console/routing/modelinstance/add/", fields)
    assert answer.status_code == 200
    assert "options" in answer.context["adminform"].form.errors
