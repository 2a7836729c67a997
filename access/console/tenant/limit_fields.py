"""Limits of one member, key or model, as fields of a form."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.core.validators import MinValueValidator
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminIntegerFieldWidget

LARGEST: Final = 2**31 - 1
MOST_TOKENS: Final = 2**63 - 1


def _count(label: Any, most: int, help_text: Any = "") -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        required=False,
        min_value=0,
        max_value=most,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=help_text,
    )


def _money(label: Any, help_text: Any = "") -> forms.DecimalField:
    return forms.DecimalField(
        label=label,
        required=False,
        max_digits=14,
        decimal_places=6,
        validators=[MinValueValidator(0)],
        widget=UnfoldAdminDecimalFieldWidget,
        help_text=help_text,
    )


class LimitFields(forms.Form):
    """Before another form: what its row may use. Empty fields: no limits of its own."""

    NAMES: Final = ("requests_per_minute", "tokens_per_minute", "concurrent_turns", "money_per_day", "money_per_month")

    requests_per_minute = _count(
        _("Requests a minute"), LARGEST, _("Of its own, besides the tenant's. Empty: unlimited.")
    )
    tokens_per_minute = _count(_("Tokens a minute"), MOST_TOKENS)
    concurrent_turns = _count(_("Turns at the same time"), LARGEST)
    money_per_day = _money(_("Money a day"), _("A calendar day in the tenant's time zone."))
    money_per_month = _money(_("Money a month"))

    def limits(self) -> dict[str, Any]:
        """Those that were filled in."""
        return {name: self.cleaned_data[name] for name in self.NAMES if self.cleaned_data.get(name) is not None}
