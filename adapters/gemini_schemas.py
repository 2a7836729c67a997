"""JSON schemas an answer must fit, as generateContent takes them (`responseJsonSchema`).

The service reads a part of JSON Schema and passes over the rest without a word. So what only describes is dropped, what
can be said otherwise is, and a limit that would be lost is refused.

Source: the Gemini API reference, `GenerationConfig.responseJsonSchema`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from engine.errors import NotSupported
from engine.types import Json

MAX_DEPTH: Final = 64
AS_IT_IS: Final = frozenset(
    {
        "$id", "$ref", "$anchor", "type", "format", "title", "description", "enum", "minItems", "maxItems", "minimum",
        "maximum", "required", "propertyOrdering",
    }
)  # fmt: skip
ONE: Final = frozenset({"items", "additionalProperties"})
LISTS: Final = frozenset({"prefixItems", "anyOf", "oneOf"})
NAMED: Final = frozenset({"properties", "$defs"})
DESCRIBES: Final = frozenset(
    {
        "$schema", "$comment", "default", "example", "examples", "deprecated", "readOnly", "writeOnly", "discriminator",
    }
)  # fmt: skip
LONE: Final = {"title", "description"}  # go from beside a `$ref`, which stands alone
STEPS: Final = {"exclusiveMinimum": ("minimum", 1), "exclusiveMaximum": ("maximum", -1)}


def translated(schema: Any) -> Json:
    """Raises NotSupported that names the keyword and where it stands."""
    return _schema(schema, "schema", 0)


def _schema(schema: Any, at: str, depth: int) -> Json:
    if not isinstance(schema, dict):
        raise _refused(at, "must be an object")
    if depth > MAX_DEPTH:
        raise _refused(at, "is nested too deeply")
    made: Json = {}
    for key, value in _plain(schema, at).items():
        if key in AS_IT_IS:
            made[key] = value.replace("#/definitions/", "#/$defs/") if key == "$ref" and type(value) is str else value
        elif key in ONE:
            made[key] = value if isinstance(value, bool) else _schema(value, f"{at}.{key}", depth + 1)
        elif key in LISTS:
            made[key] = [_schema(one, f"{at}.{key}", depth + 1) for one in _checked(value, list, f"{at}.{key}")]
        elif key in NAMED:
            named = _checked(value, dict, f"{at}.{key}")
            made[key] = {name: _schema(one, f"{at}.{key}.{name}", depth + 1) for name, one in named.items()}
        elif key not in DESCRIBES and not key.startswith("x-"):
            raise _refused(at, f"{key!r} is not carried")
    if "$ref" in made:
        made = {key: value for key, value in made.items() if key not in LONE}
    return _with_null(made)


def _plain(schema: Json, at: str) -> Json:
    """With what has another name for the same."""
    plain = dict(schema)
    for key, rewrite in REWRITES.items():
        if key in plain:
            rewrite(plain, plain.pop(key), at)
    return plain


def _const(schema: Json, value: Any, at: str) -> None:
    if value is None:
        schema.setdefault("type", "null")
    elif isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _refused(at, "'const' of such a kind is not carried")
    else:
        schema["enum"] = [value]


def _all_of(schema: Json, value: Any, at: str) -> None:
    if not isinstance(value, list) or len(value) != 1 or not isinstance(value[0], dict) or value[0].keys() & schema:
        raise _refused(at, "'allOf' is not carried")
    schema.update(value[0])


def _nullable(schema: Json, value: Any, at: str) -> None:
    """OpenAPI's way."""
    if value is True and isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    elif value is not False:
        raise _refused(at, "'nullable' of no one type is not carried")


def _definitions(schema: Json, value: Any, at: str) -> None:
    named = _checked(schema.get("$defs", {}), dict, f"{at}.$defs")
    schema["$defs"] = {**_checked(value, dict, f"{at}.definitions"), **named}


def _exclusive(key: str) -> Callable[[Json, Any, str], None]:
    def rewrite(schema: Json, value: Any, at: str) -> None:
        name, step = STEPS[key]
        if schema.get("type") != "integer" or type(value) is not int or name in schema:
            raise _refused(at, f"{key!r} is carried for integers only")
        schema[name] = value + step

    return rewrite


REWRITES: Final[dict[str, Callable[[Json, Any, str], None]]] = {
    "allOf": _all_of,
    "const": _const,
    "definitions": _definitions,
    "nullable": _nullable,
    **{key: _exclusive(key) for key in STEPS},
}


def _with_null(schema: Json) -> Json:
    """An enum holds texts and numbers only; null beside them is a schema of its own."""
    values = schema.get("enum")
    if not isinstance(values, list) or None not in values:
        return schema
    kinds = schema.get("type")
    rest = {**schema, "enum": [value for value in values if value is not None]}
    if isinstance(kinds, list):
        others = [kind for kind in kinds if kind != "null"]
        rest["type"] = others[0] if len(others) == 1 else others
    return {"anyOf": [rest, {"type": "null"}]}


def _checked(value: Any, kind: type, at: str) -> Any:
    if not isinstance(value, kind):
        raise _refused(at, "is of the wrong type")
    return value


def _refused(at: str, what: str) -> NotSupported:
    where = at if len(at) <= 200 else f"{at[:100]}…{at[-100:]}"
    return NotSupported(f"This model cannot be held to the response format: {where}: {what}.", param="response_format")
