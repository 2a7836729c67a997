from __future__ import annotations

from typing import Any

import pytest

from adapters.gemini_schemas import translated
from engine.errors import NotSupported


def test_it_leaves_what_is_carried() -> None:
    schema = {
        "type": "object",
        "title": "Answer",
        "$defs": {"Tree": {"type": "object", "properties": {"kids": {"items": {"$ref": "#/$defs/Tree"}}}}},
        "properties": {
            "a": {"type": ["string", "null"], "description": "…", "format": "date-time"},
            "b": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 5}, {"type": "null"}]},
            "c": {"type": "array", "prefixItems": [{"enum": ["x", 1]}], "minItems": 1, "maxItems": 2},
            "d": {"type": "object", "additionalProperties": {"type": "number"}},
            "default": {"type": "string"},
        },
        "required": ["a"],
        "additionalProperties": False,
        "propertyOrdering": ["b", "a"],
    }
    assert translated(schema) == schema


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"$schema": "x", "type": "string", "default": "a", "examples": ["b"], "x-mine": 1}, {"type": "string"}),
        ({"const": "a"}, {"enum": ["a"]}),
        ({"const": None}, {"type": "null"}),
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": False}, {"type": "string"}),
        ({"allOf": [{"$ref": "#/$defs/A"}], "description": "…"}, {"$ref": "#/$defs/A"}),
        (
            {"definitions": {"A": {"type": "string"}}, "$ref": "#/definitions/A"},
            {"$defs": {"A": {"type": "string"}}, "$ref": "#/$defs/A"},
        ),
        (
            {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 5},
            {"type": "integer", "minimum": 1, "maximum": 4},
        ),
        (
            {"type": ["string", "null"], "enum": ["a", None]},
            {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "null"}]},
        ),
    ],
)
def test_it_says_the_same_otherwise(schema: Any, expected: Any) -> None:
    assert translated(schema) == expected


@pytest.mark.parametrize(
    ("schema", "word"),
    [
        ({"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}}, "schema.properties.a: 'pattern'"),
        ({"not": {"type": "string"}}, "'not'"),
        ({"allOf": [{"type": "string"}, {"enum": ["a"]}]}, "'allOf'"),
        ({"const": True}, "'const'"),
        ({"nullable": True}, "'nullable'"),
        ({"type": "number", "exclusiveMinimum": 0}, "'exclusiveMinimum'"),
        ({"items": True, "anyOf": 1}, "schema.anyOf"),
        ({"properties": []}, "schema.properties"),
        ({"definitions": {}, "$defs": []}, "schema.$defs"),
        ({"properties": {"a": True}}, "schema.properties.a"),
        ([], "schema"),
    ],
)
def test_it_names_what_it_cannot_hold_a_model_to(schema: Any, word: str) -> None:
    with pytest.raises(NotSupported) as caught:
        translated(schema)
    assert word in caught.value.message
    assert caught.value.param == "response_format"


def test_it_bears_any_depth() -> None:
    schema: Any = {"type": "string"}
    for _ in range(900):
        schema = {"items": schema}
    with pytest.raises(NotSupported, match="deeply"):
        translated(schema)
