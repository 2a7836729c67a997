"""JSON as a form field, in the bounds that every body from outside has: what no database or snapshot could hold, or no
parser read (too deep, endless numbers), is refused at the field."""

from __future__ import annotations

from typing import Any

from django import forms
from django.forms.fields import InvalidJSONInput, JSONString
from django.utils.translation import gettext_lazy as _

from access import bodies
from engine.errors import InvalidRequest


class JsonField(forms.JSONField):
    def to_python(self, value: Any) -> Any:
        if self.disabled or value in self.empty_values:
            return super().to_python(value)
        if isinstance(value, str) and not isinstance(value, JSONString):
            try:
                value = bodies.loaded(value)
            except InvalidRequest:
                raise forms.ValidationError(self.error_messages["invalid"], code="invalid") from None
        try:
            bodies.check({"": value})
        except InvalidRequest:
            raise forms.ValidationError(
                _("Too deep, too large, or with signs that cannot be kept."), code="invalid"
            ) from None
        return JSONString(value) if isinstance(value, str) else value

    def prepare_value(self, value: Any) -> Any:
        """Nothing is an empty field, not `null`."""
        return super().prepare_value(value) if value is not None else ""

    def bound_data(self, data: Any, initial: Any) -> Any:
        if self.disabled or data is None:
            return super().bound_data(data, initial)
        try:
            return InvalidJSONInput(data) if data in self.empty_values else self.to_python(data)
        except forms.ValidationError:
            return InvalidJSONInput(data)
