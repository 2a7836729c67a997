"""A form for a plugin's settings, made of its `Settings`; lists of structures are a form each, with empty ones too."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from django import forms
from django.forms.formsets import BaseFormSet, formset_factory
from django.utils.translation import gettext_lazy as _
from msgspec import inspect
from unfold.widgets import UnfoldBooleanSwitchWidget

from access.console.setting_fields import Setting, field_of, settings_of, shown
from engine.types import Json
from plugins import registry
from plugins.registry import PluginClass

EMPTY: Final = 2  # forms below those that say something
MOST: Final = 500
REMOVE: Final = "remove_"
_PATH: Final = re.compile(r" - at `\$((?:\.\w+|\[[^\]]*\])*)`\Z")
_STEP: Final = re.compile(r"\.(\w+)|\[(\d+)\]")


class StructForm(forms.Form):
    """Fields of one structure. `given` are those that say something else than nothing."""

    def __init__(self, *args: Any, cls: type[msgspec.Struct], stored: Json | None = None, **kwargs: Any) -> None:
        self.stored = stored or {}
        self.known = [each for each in settings_of(cls) if each.rows is None]
        initial = {each.name: shown(each, self.stored.get(each.name, each.default)) for each in self.known}
        super().__init__(*args, **{**kwargs, "initial": initial})
        for each in self.known:
            field = self.fields[each.name] = field_of(each)
            kept = each.secret and bool(self.stored.get(each.name))
            field.required = each.required and not kept and not isinstance(field, forms.BooleanField)
            if each.secret and self.stored.get(each.name):
                self.fields[each.name].help_text = _("There is one; it is never shown. Empty: it stays.")
                self.fields[f"{REMOVE}{each.name}"] = forms.BooleanField(
                    label=_("Remove it"), required=False, widget=UnfoldBooleanSwitchWidget
                )

    def given(self) -> Json:
        """What was written, by the settings' names; of a valid form. Nothing of what is as it is by default."""
        found = {each.name: self._value(each) for each in self.known}
        kept = {each.name: each for each in self.known}
        return {
            name: value
            for name, value in found.items()
            if (value is not None or kept[name].optional) and (kept[name].required or value != kept[name].default)
        }

    def _value(self, setting: Setting) -> Any:
        value = self.cleaned_data.get(setting.name)
        if setting.secret:
            if self.cleaned_data.get(f"{REMOVE}{setting.name}"):
                return None if setting.optional else setting.default
            return value or self.stored.get(setting.name, setting.default)
        if value == "" and (setting.optional or not isinstance(setting.kind, inspect.StrType)):
            return None
        return value

    @property
    def has_text(self) -> bool:
        return any(self.cleaned_data.get(each.name) not in (None, "", [], False) for each in self.known)


class RowForms(BaseFormSet):  # type: ignore[type-arg]
    """The structures of a list. One whose fields are all empty is none."""

    def __init__(self, *args: Any, rows: list[Json], cls: type[msgspec.Struct], **kwargs: Any) -> None:
        self.rows = rows
        super().__init__(*args, form_kwargs={"cls": cls}, initial=[{} for _row in rows], **kwargs)

    def get_form_kwargs(self, index: int | None) -> dict[str, Any]:
        found: dict[str, Any] = super().get_form_kwargs(index)
        stored = self.rows[index] if index is not None and index < len(self.rows) else None
        return {**found, "stored": stored}

    def written(self) -> list[tuple[int, StructForm]]:
        """The forms that say something, with their places."""
        return [
            (place, form)
            for place, form in enumerate(self.forms)
            if form.is_valid() and form.has_text and not form.cleaned_data.get("DELETE")
        ]

    def given(self) -> list[Json]:
        return [form.given() for _place, form in self.written()]


class SettingsForm:
    """The whole: `form` for what is simple, `rows` by name for the lists of structures."""

    def __init__(self, plugin: PluginClass, stored: Json, data: Any = None) -> None:
        self.plugin = plugin
        kept = stored if isinstance(stored, dict) else {}
        self.form = StructForm(data, cls=plugin.Settings, stored=kept, prefix="settings")
        self.rows: dict[str, tuple[Setting, RowForms]] = {}
        for each in settings_of(plugin.Settings):
            if each.rows is not None:
                rows = [row for row in kept.get(each.name) or each.default or [] if isinstance(row, dict)]
                make: Any = formset_factory(
                    StructForm,
                    formset=_named(each),
                    extra=EMPTY,
                    can_delete=True,
                    max_num=MOST,
                    absolute_max=MOST,
                )
                made = make(data, prefix=f"settings-{each.name}", rows=rows, cls=each.rows)
                self.rows[each.name] = (each, made)

    def is_valid(self) -> bool:
        """What the plugin's own types refuse is said at the field they name."""
        parts = [self.form.is_valid(), *(rows.is_valid() for _each, rows in self.rows.values())]
        if not all(parts):
            return False
        try:
            registry.read_settings(self.plugin, self.given())
        except registry.InvalidSettings as error:
            self._blame(str(error))
            return False
        return True

    def given(self) -> Json:
        """The settings as a row keeps them."""
        lists = {name: rows.given() for name, (_each, rows) in self.rows.items()}
        return {**self.form.given(), **{name: found for name, found in lists.items() if found}}

    def _blame(self, reason: str) -> None:
        path = _PATH.search(reason)
        steps = [name or int(number) for name, number in _STEP.findall(path[1])] if path is not None else []
        told = _PATH.sub("", reason)
        form: StructForm = self.form
        if len(steps) > 1 and steps[0] in self.rows and isinstance(steps[1], int):
            written = self.rows[str(steps[0])][1].written()
            if steps[1] < len(written):
                form, steps = written[steps[1]][1], steps[2:]
        name = str(steps[0]) if steps else _missing(told)
        form.add_error(name if name in form.fields else None, told)


def _named(setting: Setting) -> type[RowForms]:
    return type("RowForms", (RowForms,), {"setting": setting})


def _missing(reason: str) -> str:
    """The field msgspec misses: it is named in the text, not in the path."""
    found = re.search(r"required field `(\w+)`", reason)
    return found[1] if found is not None else ""
