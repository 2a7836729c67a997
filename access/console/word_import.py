"""Word lists from several files at once: a list each, or all into one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    INPUT_CLASSES,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from access.console.tenant_field import TenantField
from access.translating import choices as in_words
from compliance.models.words import Action
from compliance.wordfiles import LARGEST, SUFFIXES, a_list_each, read_files
from compliance.wordlists import replace_words
from tenants.models import Tenant

MOST_FILES = 50  # Django itself refuses more than 100 with less of an explanation


class SeveralFiles(UnfoldAdminFileFieldWidget):
    allow_multiple_selected = True
    template_name = "console/several_files.html"

    def __init__(self) -> None:
        super().__init__(attrs={"accept": ",".join(SUFFIXES), "class": " ".join(INPUT_CLASSES)})

    def use_required_attribute(self, initial: Any) -> bool:
        return False


class FilesField(forms.FileField):
    """Cleans to a list of files."""

    widget = SeveralFiles

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile[bytes]]:
        given: Sequence[Any] = data if isinstance(data, list | tuple) else [data] if data else []
        if not given:
            raise ValidationError(_("Choose at least one file."))
        if len(given) > MOST_FILES:
            raise ValidationError(_("At most %(most)s files at once."), params={"most": MOST_FILES})
        if sum(file.size or 0 for file in given) > LARGEST:
            raise ValidationError(_("The files are larger than 16 MiB together."))
        return list(given)


class ImportForm(forms.Form):
    tenant = TenantField(
        required=False, help_text=_("Slug of the tenant whose lists they become; empty: the platform's.")
    )
    uploads = FilesField(
        label=_("Files"),
        help_text=_(
            "UTF-8 text, one word a line, or CSV, whose first column counts. Nothing is saved if one is wrong."
        ),
    )
    name = forms.CharField(
        label=_("One list"),
        required=False,
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("Its name, to put all files into one list. Empty: a list a file, of the file's name."),
    )
    action = forms.ChoiceField(
        label=_("Stage"),
        choices=[("", _("as it is; new ones record")), *in_words(Action)],
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text=_("A list of the same name gets these words in the place of its own."),
    )

    def __init__(self, *args: Any, only: Tenant | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if only is not None:
            del self.fields["tenant"]


def import_view(request: HttpRequest, by: str, only: Tenant | None = None) -> dict[str, Any]:
    """What the page shows; `saved` says what was done instead. `only`: the one tenant whose lists they become here."""
    form = ImportForm(request.POST, request.FILES, only=only) if request.method == "POST" else ImportForm(only=only)
    if not form.is_valid():
        return {"form": form}
    try:
        return {"saved": _imported({"tenant": only, **form.cleaned_data}, by)}
    except ValidationError as error:
        form.add_error("uploads", error.messages)
        return {"form": form}


def _imported(data: dict[str, Any], by: str) -> str:
    """All or nothing. Raises ValidationError."""
    files = read_files((PurePath(file.name or "").name, file.read()) for file in data["uploads"])
    lists = [(data["name"], [word for each in files for word in each.words])] if data["name"] else a_list_each(files)
    with transaction.atomic():
        saved = [
            replace_words(
                tenant=data["tenant"],
                name=name,
                words=words,
                action=data["action"] or None,
                new_action=Action.RECORD,
                by=by,
                note="import",
            )
            for name, words in lists
        ]
    return ", ".join(f"{each.name}: {each.size}" for each in saved)
