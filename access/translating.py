"""What models say of themselves, in the language of who reads it: names of fields and tables, help texts, choices.

Models are written in plain English, which is what migrations, commands and the API say. The consoles are for people of
several languages: `translate` makes all of it lazy, once, when everything is loaded. `tools/messages.py` takes the
messages from here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db.models import Choices, Field, Model
from django.forms.models import BaseModelForm
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy

from compliance.database import JOURNAL_MODELS

OURS = frozenset({"tenants", "routing", "sessions_app", "plugins", "compliance"})
APPS = {
    "tenants": gettext_lazy("Tenants"),
    "routing": gettext_lazy("Routing"),
    "sessions_app": gettext_lazy("Sessions"),
    "plugins": gettext_lazy("Plugins"),
    "compliance": gettext_lazy("Compliance"),
}
UNSEEN = (JOURNAL_MODELS - {"auditentry"}) | {"alertreading", "alertwatch"}  # no screen shows these


def models() -> list[type[Model]]:
    """Those of this project."""
    ours = (model for model in apps.get_models() if model._meta.app_label in OURS)
    return [model for model in ours if model._meta.model_name not in UNSEEN]


def messages(model: type[Model]) -> Iterator[str]:
    """Everything the model says of itself."""
    yield from (str(model._meta.verbose_name), str(model._meta.verbose_name_plural))
    for field in _fields(model):
        yield str(field.verbose_name)
        if field.help_text:
            yield str(field.help_text)
        yield from (str(label) for _value, label in field.flatchoices if label)
    for constraint in model._meta.constraints:
        message = constraint.violation_error_message
        if message and message != constraint.default_violation_error_message:
            yield str(message)


def translate() -> None:
    """From now on; safe to call again."""
    for label, name in APPS.items():
        apps.get_app_config(label).verbose_name = name
    for model in models():
        # Django's own default for many of them is the name with an "s", in whatever language
        model._meta.verbose_name_plural = gettext_lazy(str(model._meta.verbose_name_plural))
        model._meta.verbose_name = _lazy(model._meta.verbose_name)
        for field in _fields(model):
            field.verbose_name = _lazy(field.verbose_name)
            if field.help_text:
                field.help_text = _lazy(field.help_text)
            if field.choices:
                field.choices = [(value, _lazy(label)) for value, label in field.flatchoices]
        for constraint in model._meta.constraints:
            constraint.violation_error_message = _lazy(constraint.violation_error_message)


def choices(of: type[Choices]) -> list[tuple[Any, Any]]:
    """Those of a model's field, for a field of a form that is not the model's."""
    return [(value, _lazy(label)) for value, label in of.choices]


def label_fields(form: BaseModelForm[Any]) -> None:
    """Fields that a form makes itself and gives no label are called as the model calls them."""
    known = {field.name: field for field in _fields(form._meta.model)}
    for name, field in form.fields.items():
        if field.label is None and name in known:
            field.label = capfirst(known[name].verbose_name)


def _fields(model: type[Model]) -> list[Field[Any, Any]]:
    return [field for field in model._meta.local_fields if field.concrete and not field.auto_created]


def _lazy(message: Any) -> Any:
    return message if isinstance(message, Promise) or not message else gettext_lazy(message)
