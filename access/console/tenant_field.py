"""A tenant as a form field: people write its slug."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from tenants.models import Tenant


class TenantField(forms.CharField):
    """Cleans to the `Tenant`, None where nothing was written."""

    def __init__(self, **kwargs: Any) -> None:
        widget = UnfoldAdminTextInputWidget(attrs={"placeholder": _("slug"), "autocomplete": "off"})
        super().__init__(**{"label": _("Tenant"), "max_length": 63, "widget": widget, **kwargs})

    def clean(self, value: Any) -> Tenant | None:
        slug = super().clean(value)
        if not slug:
            return None
        tenant = Tenant.objects.filter(slug=slug.lower()).first()
        if tenant is None:
            raise forms.ValidationError(_("There is no tenant %(slug)s."), params={"slug": slug})
        return tenant
