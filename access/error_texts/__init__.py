"""Texts of errors by language, each by its English text: another language is another module."""

from __future__ import annotations

from typing import Final

from access.error_texts import ar, de, es, fr, id, it, ja, ko, pt, ru, th, tr, vi, zh_hans, zh_hant

TEXTS: Final[dict[str, dict[str, str]]] = {
    "zh-hans": zh_hans.TEXTS,
    "zh-hant": zh_hant.TEXTS,
    "ja": ja.TEXTS,
    "ko": ko.TEXTS,
    "fr": fr.TEXTS,
    "de": de.TEXTS,
    "es": es.TEXTS,
    "pt": pt.TEXTS,
    "ru": ru.TEXTS,
    "ar": ar.TEXTS,
    "vi": vi.TEXTS,
    "th": th.TEXTS,
    "id": id.TEXTS,
    "it": it.TEXTS,
    "tr": tr.TEXTS,
}
