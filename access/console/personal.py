"""Screen of personal data: what is masked before models, tenant by tenant."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.decorators import display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from access.console.scoped import BY_TENANT, PlatformAdmin, PlatformForm
from compliance.models import PersonalData
from compliance.personal.scanning import NAMES

TITLES = {
    "email": _("E-mail addresses"),
    "phone": _("Telephone numbers"),
    "card": _("Payment cards"),
    "iban": _("Bank accounts (IBAN)"),
    "id_cn": _("China: resident identity number"),
    "id_hk": _("Hong Kong: identity card"),
    "id_mo": _("Macau: identity card"),
    "id_tw": _("Taiwan: identity number, resident certificate"),
    "id_kr": _("Korea: resident registration number"),
    "id_jp": _("Japan: Individual Number"),
    "id_us": _("United States: social security number"),
    "id_uk": _("United Kingdom: National Insurance number"),
    "id_es": _("Spain: DNI, NIE"),
    "id_it": _("Italy: codice fiscale"),
    "id_de": _("Germany: tax identification number"),
    "id_fr": _("France: NIR"),
    "id_in": _("India: Aadhaar"),
    "id_br": _("Brazil: CPF"),
}


class PersonalDataForm(PlatformForm):
    blamed = "tenant"

    recognisers = forms.MultipleChoiceField(
        label=_("Recognised"),
        required=False,
        choices=[(name, TITLES[name]) for name in NAMES],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text=_(
            "Such values go to models as placeholders and come back in answers. Sessions and the journal keep what was "
            "said. Every further kind makes it likelier that some other number is taken for one."
        ),
    )

    class Meta:
        model = PersonalData
        fields = ["tenant", "recognisers"]


class PersonalDataAdmin(PlatformAdmin):
    form = PersonalDataForm
    list_display = ["owner", "switched_on"]
    list_filter = [BY_TENANT]
    list_select_related = ["tenant"]
    search_fields = ["tenant__slug", "tenant__name"]
    autocomplete_fields = ["tenant"]

    @display(description=_("Recognised"))
    def switched_on(self, row: PersonalData) -> Any:
        return ", ".join(str(TITLES.get(name, name)) for name in row.recognisers) or "—"
