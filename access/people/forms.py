"""Forms of people who make an account, with a tenant of their own or in one they are invited to."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import LoginForm
from django import forms
from django.contrib.auth import password_validation
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from tenants.models import Tenant, User
from tenants.validation import clean_name, clean_slug


class PersonForm(forms.ModelForm):  # type: ignore[type-arg]
    """An account: name and password."""

    password = forms.CharField(
        label=_("Password"),
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=_("Ten characters at least; not one of the common ones."),
    )

    class Meta:
        model = User
        fields = ["username"]
        labels = {"username": _("Username")}
        widgets = {"username": forms.TextInput(attrs={"autocomplete": "username", "autocapitalize": "none"})}

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        name, password = data.get("username"), data.get("password")
        if name and User.objects.filter(username__iexact=name).exists():
            self.add_error("username", _("This name is taken."))
        if password:
            try:
                password_validation.validate_password(password, User(username=name or ""))
            except ValidationError as error:
                self.add_error("password", error)
        return data


class CompanyForm(PersonForm):
    """An account and a tenant."""

    company = forms.CharField(label=_("Company or team"), max_length=200)
    slug = forms.CharField(
        label=_("Short name"),
        max_length=63,
        help_text=_("Lower-case letters, digits and hyphens; it names the tenant in addresses and files for good."),
    )
    field_order = ["company", "slug", "username", "password"]

    def clean_company(self) -> str:
        try:
            return clean_name(self.cleaned_data["company"])
        except ValidationError as error:
            raise ValidationError(error.messages) from None

    def clean_slug(self) -> str:
        try:
            slug = clean_slug(self.cleaned_data["slug"])
        except ValidationError as error:
            raise ValidationError(error.messages) from None
        if Tenant.objects.filter(slug=slug).exists():
            raise ValidationError(_("This short name is taken."))
        return slug


class AddressForm(forms.Form):
    """Where the link to go on is sent."""

    email = forms.EmailField(
        label=_("E-mail address"), max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"})
    )


class SignInForm(LoginForm):
    """Bounded, and with labels of ours."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        login, password = self.fields["login"], self.fields["password"]
        login.label, login.max_length = _("Username or e-mail address"), 254
        login.widget.attrs.update(autocomplete="username", autocapitalize="none", maxlength="254", autofocus=True)
        login.validators.append(forms.CharField(max_length=254).validators[0])
        password.max_length = 1024
        password.validators.append(forms.CharField(max_length=1024).validators[0])
        for field in self.fields.values():
            field.widget.attrs.pop("placeholder", None)
