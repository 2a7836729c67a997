"""What a playground's page asks for. Its script sends the fields as a body of `/api/chat`; their bounds are its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
)

from engine.types import AUTO

COLUMNS: Final = 4


class PlaygroundForm(forms.Form):
    system = forms.CharField(
        label=_("System prompt"), required=False, strip=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2})
    )
    prompt = forms.CharField(label=_("Prompt"), strip=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 5}))
    temperature = forms.FloatField(
        label=_("Temperature"),
        required=False,
        min_value=0,
        max_value=2,
        widget=UnfoldAdminDecimalFieldWidget,
        help_text=_("0 to 2; empty: as the model does."),
    )
    top_p = forms.FloatField(
        label="top_p", required=False, min_value=0, max_value=1, widget=UnfoldAdminDecimalFieldWidget
    )
    max_tokens = forms.IntegerField(
        label=_("Most tokens"), required=False, min_value=1, max_value=2**31 - 1, widget=UnfoldAdminIntegerFieldWidget
    )
    seed = forms.IntegerField(label=_("Seed"), required=False, widget=UnfoldAdminIntegerFieldWidget)

    def __init__(self, *args: Any, models: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for number in range(1, COLUMNS + 1):
            nobody = [] if number == 1 else [("", _("no model"))]
            choices = [(name, _("auto: the rules decide") if name == AUTO else name) for name in models]
            self.fields[f"model_{number}"] = forms.ChoiceField(
                label=_("Model %(number)s") % {"number": number},
                required=number == 1,
                choices=[*nobody, *choices],
                widget=UnfoldAdminSelectWidget,
            )

    @property
    def asked(self) -> list[forms.BoundField]:
        return [self["system"], self["prompt"]]

    @property
    def parameters(self) -> list[forms.BoundField]:
        return [self[name] for name in ("temperature", "top_p", "max_tokens", "seed")]

    @property
    def models(self) -> list[forms.BoundField]:
        return [self[f"model_{number}"] for number in range(1, COLUMNS + 1)]
