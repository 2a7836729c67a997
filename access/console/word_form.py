"""What people fill in for a word list. Long ones are not put into a page: they come and go as files."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminTextareaWidget,
)

from access.console.scoped import PlatformForm
from compliance.models import SensitiveWordList
from compliance.normalising import SWITCHES
from compliance.validation import default_switches
from compliance.wordfiles import LARGEST, read_words

EDITABLE = 2_000  # words a page shows in a text field; 60,000 would make it megabytes

SEEN_THROUGH = {
    "traditional": _("Traditional characters for simplified ones (壞 for 坏)"),
    "forms": _("Circled, bracketed and other forms of letters and digits (ⓑⓐⓓ)"),
    "invisible": _("Characters that cannot be seen, and direction marks"),
    "symbols": _("Symbols and spaces between letters (b.a d)"),
    "repeats": _("Repeated letters (baaad)"),
    "lookalikes": _("Letters that look alike (bаd with a Cyrillic а)"),
    "pinyin": _("Pinyin (huairen for 坏人)"),
    "initials": _("Initials of pinyin (zgr for 中国人); hits ordinary talk often"),
    "homophones": _("Characters that sound the same (怀人 for 坏人)"),
}


class SwitchesField(forms.TypedMultipleChoiceField):
    """Check boxes, one a switch."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            **{
                "label": _("Sees through"),
                "required": False,
                "choices": [(name, SEEN_THROUGH.get(name, name)) for name in SWITCHES],
                "widget": UnfoldAdminCheckboxSelectMultipleWidget,
                "help_text": _("Letter case and width never make a difference."),
                **kwargs,
            }
        )

    def has_changed(self, initial: Any, data: Any) -> bool:
        return set(initial or ()) != set(data or ())


class WordListForm(PlatformForm):
    switches = SwitchesField(initial=default_switches)
    words = forms.CharField(
        label=_("Words"), required=False, strip=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 12}),
        help_text=_("One a line."),
    )  # fmt: skip
    file = forms.FileField(
        label=_("Words from a file"),
        required=False,
        widget=UnfoldAdminFileFieldWidget,
        help_text=_("UTF-8 text, one word a line, or CSV, whose first column counts. Replaces all words."),
    )

    class Meta:
        model = SensitiveWordList
        fields = ["name", "tenant", "action", "direction", "enabled", "mandatory", "public", "switches", "words"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.size > EDITABLE and "words" in self.fields:
            self.fields["words"].disabled = True
            self.initial["words"] = ""
            self.fields["words"].widget.attrs["rows"] = 1
            self.fields["words"].help_text = _("Too many to edit here: download them, and give the new list as a file.")

    def clean_file(self) -> str | None:
        file: UploadedFile[bytes] | None = self.cleaned_data["file"]
        if file is None:
            return None
        if (file.size or 0) > LARGEST:
            raise ValidationError(_("The file is larger than 16 MiB."))
        try:
            return "\n".join(read_words(file.read(), str(file.name)))
        except ValidationError as error:
            raise ValidationError(error.messages) from None

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if data.get("file") is not None:
            data["words"] = data["file"]
        elif self.fields["words"].disabled:
            data["words"] = self.instance.words
        if data.get("tenant") is not None:
            for name in ("mandatory", "public"):
                if data.get(name):
                    self.add_error(name, _("Only a list of the platform's can be this: leave the tenant empty."))
        return data
