"""A form about a tenant."""

from __future__ import annotations

from typing import Any

from django import forms

from access.console.tenant_field import TenantField
from tenants.models import Tenant


class ReachingForm(forms.Form):
    """A form about a tenant: an operator names it, in a tenant's console it is that one."""

    tenant = TenantField()

    def __init__(self, *args: Any, only: Tenant | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.only: Tenant | None = only
        if only is not None:
            del self.fields["tenant"]

    def _post_clean(self) -> None:
        if self.only is not None:
            self.cleaned_data["tenant"] = self.only
