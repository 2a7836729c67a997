"""Two pages of a word list: its versions with what changed between them, and its hits."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from access.console.links import link
from access.console.recorded_turn import moment
from compliance import hit_reports, wordlists
from compliance.models import SensitiveWordList, WordListVersion
from engine.types import Json
from tenants.models import Tenant

SHOWN = 200  # words of a difference, each way
SETTINGS = {"action": _("Stage"), "direction": _("Direction"), "switches": _("Sees through"), "enabled": _("In use")}
LONGEST = 2**31 - 1


class VersionForm(forms.Form):
    """Which versions: of a roll-back `version`, of a comparison the other two."""

    version = forms.IntegerField(required=False, min_value=1, max_value=LONGEST)
    before = forms.IntegerField(required=False, min_value=1, max_value=LONGEST)
    after = forms.IntegerField(required=False, min_value=1, max_value=LONGEST)


def versions_page(
    request: HttpRequest, words: SensitiveWordList, by: str, only: Tenant | None = None
) -> dict[str, Any]:
    """`done`: a roll-back that was asked for, in words."""
    given = VersionForm(request.POST if request.method == "POST" else request.GET)
    asked = given.cleaned_data if given.is_valid() else {}
    problem = ""
    if request.method == "POST":
        try:
            return {"done": _rolled_back(words, asked.get("version") or 0, by)}
        except ValidationError as error:
            problem = error.messages[0]
    kept = list(wordlists.versions_of(words).defer("packed"))
    before, after = _pair(kept, asked)
    return {
        "template": "word_versions.html",
        "title": _("Versions of %(name)s") % {"name": words},
        "problem": problem,
        "versions": [
            {"row": each, "at": moment(each.saved_at.timestamp()), "before": _before(kept, each)} for each in kept
        ],
        "difference": _difference(words, before, after) if before and after else None,
    }


def _rolled_back(words: SensitiveWordList, version: int, by: str) -> Any:
    with transaction.atomic():
        wordlists.roll_back(words=words, version=version, by=by)
    return _("Rolled back to version %(old)s, as version %(new)s. Live within a second.") % {
        "old": version, "new": words.version,
    }  # fmt: skip


def _before(kept: list[WordListVersion], version: WordListVersion) -> int:
    return next((each.version for each in kept if each.version < version.version), 0)


def _pair(kept: list[WordListVersion], asked: Json) -> tuple[int, int]:
    """Unless two that are kept are named, the last two."""
    numbers = {each.version for each in kept}
    before, after = asked.get("before"), asked.get("after")
    if before in numbers and after in numbers:
        return before, after
    return (kept[1].version, kept[0].version) if len(kept) > 1 else (0, 0)


def _difference(words: SensitiveWordList, before: int, after: int) -> Json:
    found = wordlists.difference(wordlists.find_version(words, before), wordlists.find_version(words, after))
    return {
        "before": before,
        "after": after,
        "added": found.added[:SHOWN],
        "added_more": max(0, len(found.added) - SHOWN),
        "removed": found.removed[:SHOWN],
        "removed_more": max(0, len(found.removed) - SHOWN),
        "settings": [(SETTINGS[name], *map(_shown, pair)) for name, pair in found.settings.items()],
    }


def _shown(value: Any) -> Any:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return ", ".join(value) or "—" if isinstance(value, list) else value


def hits_page(request: HttpRequest, words: SensitiveWordList, by: str, only: Tenant | None = None) -> dict[str, Any]:
    """`done`: a next stage that was asked for, in words. `only`: the tenant whose turns are counted; None: of all."""
    if request.method == "POST":
        return {"done": promoted(words, by)}
    report = hit_reports.report(words.pk, only.pk if only is not None else None)
    most = max((day.total for day in report.days), default=0)
    return {
        "template": "word_hits.html",
        "title": _("Hits of %(name)s") % {"name": words},
        "report": report,
        "recorded": sum(day.record for day in report.days),
        "following": wordlists.next_stage(words.action) or "",
        "of_all": only is None,
        "change": link(request, "compliance_sensitivewordlist_change", words.pk),
        "days": {
            "headers": [_("Day (UTC)"), _("Hits"), _("Recorded"), _("Masked"), _("Blocked")],
            "rows": [
                [day.day, _bar(day.total, most), day.record, day.mask, day.block] for day in report.days
            ],
        },
        "entries": {
            "headers": [_("Entry"), _("Hits"), _("In questions"), _("In answers")],
            "rows": [
                [each.word or _("(more entries)"), _bar(each.total, report.entries[0].total), each.input, each.output]
                for each in report.entries
            ],
        } if report.entries else None,
    }  # fmt: skip


def promoted(words: SensitiveWordList, by: str) -> Any:
    """What there is to say after the list went on to its next stage, if there was one."""
    try:
        wordlists.promote(words=words, by=by)
    except ValidationError as error:
        return error.messages[0]
    return _("Its stage is now: %(stage)s.") % {"stage": words.get_action_display()}


def _bar(count: int, most: int) -> SafeString:
    return format_html(
        '<span class="replay-bar"><span class="replay-moved" style="width: {}%"></span></span> {}',
        f"{100 * count / max(most, 1):.1f}",
        count,
    )
