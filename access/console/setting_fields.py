"""Form fields from the types of a plugin's `Settings`: what a setting may be is said once, there.

str, int, float, bool, enumerations and literals, with the bounds their `Meta` has; lists of text as a line each;
`Secret` write-only; whatever else as JSON. A description of `Meta` becomes the help, its title the label."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from django import forms
from django.core.validators import RegexValidator
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import override
from msgspec import inspect
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from access.console.json_field import JsonField
from access.console.lines import LinesField
from access.console.texts import with_code
from plugins.settings_types import CHOICES, LONG, SECRET

LONGEST: Final = 100_000  # characters of a text no bound is said for
LARGEST: Final = 2**63 - 1  # of a whole number: what JSON's readers keep exactly


class Setting(msgspec.Struct, frozen=True):
    """A field of `Settings`. `optional`: it may be None, which an empty field stands for."""

    name: str
    kind: inspect.Type
    optional: bool
    required: bool
    default: Any
    label: Any
    help: Any
    secret: bool = False
    long: bool = False
    choices: dict[str, str] | None = None  # what a list of text may hold, and what people call it

    @property
    def help_shown(self) -> SafeString:
        return with_code(self.help)

    @property
    def rows(self) -> type[msgspec.Struct] | None:
        """A list of structures: a form for each of them."""
        item = self.kind.item_type if isinstance(self.kind, inspect.ListType) else None
        return item.cls if isinstance(item, inspect.StructType) else None


class JsonSetting(JsonField):
    """What no other field can say. Without text nothing is given."""

    widget = UnfoldAdminTextareaWidget(attrs={"rows": 4, "class": "replay-yaml", "spellcheck": "false"})


def settings_of(cls: type[msgspec.Struct]) -> list[Setting]:
    """In the order they are written in."""
    described = inspect.type_info(cls)
    assert isinstance(described, inspect.StructType)
    return [_setting(field) for field in described.fields]


def summary(written: str) -> str:
    """The first paragraph of what an author wrote."""
    return " ".join(written.split("\n\n")[0].split())


def said(cls: type[msgspec.Struct]) -> Iterator[str]:
    """What people read of these settings, as their author wrote it."""
    with override(None):
        for setting in settings_of(cls):
            yield from filter(None, (str(setting.label), str(setting.help), *(setting.choices or {}).values()))
            if setting.rows is not None:
                yield from said(setting.rows)


def field_of(setting: Setting) -> forms.Field:
    """Raises nothing: what has no better form is JSON."""
    shared: dict[str, Any] = {"label": setting.label, "help_text": setting.help_shown, "required": False}
    if setting.secret:
        widget = UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"})
        return forms.CharField(**shared, widget=widget, strip=False, max_length=LONGEST)
    make = _MAKERS.get(type(setting.kind), _json)
    return make(setting, shared)


def shown(setting: Setting, value: Any) -> Any:
    """A stored value as its field shows it."""
    if setting.secret:
        return None
    if isinstance(field_of(setting), JsonField):
        return value
    if isinstance(setting.kind, inspect.EnumType | inspect.LiteralType):
        return json.dumps(value)
    return value


def _setting(field: inspect.Field) -> Setting:
    kind, extra, schema = _bare(field.type)
    optional = isinstance(kind, inspect.UnionType) and kind.includes_none
    if isinstance(kind, inspect.UnionType):
        others = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
        if len(others) == 1:
            kind, more, described = _bare(others[0])
            extra, schema = {**extra, **more}, {**schema, **described}
    default = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    return Setting(
        name=field.encode_name,
        kind=kind,
        optional=optional,
        required=field.required,
        default=None if default is msgspec.NODEFAULT else msgspec.to_builtins(default),
        label=_(schema["title"]) if schema.get("title") else _(field.encode_name.replace("_", " ").capitalize()),
        help=_(schema["description"]) if schema.get("description") else "",
        secret=bool(extra.get(SECRET)),
        long=bool(extra.get(LONG)),
        choices=extra.get(CHOICES),
    )


def _bare(kind: inspect.Type) -> tuple[inspect.Type, dict[str, Any], dict[str, Any]]:
    """Without its notes; these; and what they say to people."""
    extra: dict[str, Any] = {}
    schema: dict[str, Any] = {}
    while isinstance(kind, inspect.Metadata):
        extra |= kind.extra or {}
        schema |= kind.extra_json_schema or {}
        kind = kind.type
    return kind, extra, schema


def _text(setting: Setting, shared: dict[str, Any]) -> forms.Field:
    kind = setting.kind
    assert isinstance(kind, inspect.StrType)
    widget: Any = UnfoldAdminTextareaWidget(attrs={"rows": 4}) if setting.long else UnfoldAdminTextInputWidget
    field = forms.CharField(
        **shared, widget=widget, strip=False, min_length=kind.min_length, max_length=kind.max_length or LONGEST
    )
    if kind.pattern is not None:
        field.validators.append(RegexValidator(kind.pattern, _("It does not have the form it must have.")))
    return field


def _number(setting: Setting, shared: dict[str, Any]) -> forms.Field:
    kind = setting.kind
    assert isinstance(kind, inspect.IntType | inspect.FloatType)
    whole = isinstance(kind, inspect.IntType)
    make: Any = forms.IntegerField if whole else forms.FloatField
    low, high = kind.ge, kind.le
    if whole:
        low = kind.gt + 1 if kind.gt is not None else low
        high = kind.lt - 1 if kind.lt is not None else high
        low, high = -LARGEST if low is None else low, LARGEST if high is None else high
    widget = UnfoldAdminIntegerFieldWidget if whole else UnfoldAdminDecimalFieldWidget
    field: forms.Field = make(**shared, widget=widget, min_value=low, max_value=high)
    return field


def _flag(setting: Setting, shared: dict[str, Any]) -> forms.Field:
    if setting.optional:
        return _choice([True, False], setting, shared)
    return forms.BooleanField(**shared, widget=UnfoldBooleanSwitchWidget)


def _enumeration(setting: Setting, shared: dict[str, Any]) -> forms.Field:
    assert isinstance(setting.kind, inspect.EnumType)
    return _choice([each.value for each in setting.kind.cls], setting, shared)


def _literal(setting: Setting, shared: dict[str, Any]) -> forms.Field:
    assert isinstance(setting.kind, inspect.LiteralType)
    return _choice(list(setting.kind.values), setting, shared)


def _choice(values: list[Any], setting: Setting, shared: dict[str, Any]) -> forms.Field:
    nothing = [("", "—")] if setting.optional or setting.required or setting.default is None else []
    return forms.TypedChoiceField(
        **shared,
        choices=[*nothing, *((json.dumps(value), str(value)) for value in values)],
        coerce=json.loads,
        empty_value=None,
        widget=UnfoldAdminSelectWidget,
    )


def _list(setting: Setting, shared: dict[str, Any]) -> forms.Field:
    assert isinstance(setting.kind, inspect.ListType)
    if not isinstance(setting.kind.item_type, inspect.StrType):
        return _json(setting, shared)
    if setting.choices is not None:
        named = sorted(((value, _(name)) for value, name in setting.choices.items()), key=lambda pair: str(pair[1]))
        return forms.MultipleChoiceField(**shared, choices=named, widget=UnfoldAdminSelectMultipleWidget)
    return LinesField(**{**shared, "help_text": shared["help_text"] or _("One a line.")})


def _json(setting: Setting, shared: dict[str, Any]) -> forms.Field:
    return JsonSetting(**{**shared, "help_text": shared["help_text"] or _("As JSON.")})


_MAKERS: Final[dict[type[inspect.Type], Callable[[Setting, dict[str, Any]], forms.Field]]] = {
    inspect.StrType: _text,
    inspect.IntType: _number,
    inspect.FloatType: _number,
    inspect.BoolType: _flag,
    inspect.EnumType: _enumeration,
    inspect.LiteralType: _literal,
    inspect.ListType: _list,
}
