"""The languages that can be told apart, by their primary subtag, and the script each is written in."""

from __future__ import annotations

from typing import Final

LATIN: Final = "latin"
HAN: Final = "han"
KANA: Final = "kana"

# What each calls itself is in the consoles of nobody: people who choose among many languages look for the English name.
NAMES: Final[dict[str, str]] = {
    "af": "Afrikaans",
    "am": "Amharic",
    "ar": "Arabic",
    "az": "Azerbaijani",
    "be": "Belarusian",
    "bg": "Bulgarian",
    "bn": "Bengali",
    "ca": "Catalan",
    "cs": "Czech",
    "cy": "Welsh",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "et": "Estonian",
    "eu": "Basque",
    "fa": "Persian",
    "fi": "Finnish",
    "fr": "French",
    "ga": "Irish",
    "gl": "Galician",
    "gu": "Gujarati",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "hy": "Armenian",
    "id": "Indonesian",
    "is": "Icelandic",
    "it": "Italian",
    "ja": "Japanese",
    "ka": "Georgian",
    "kk": "Kazakh",
    "km": "Khmer",
    "kn": "Kannada",
    "ko": "Korean",
    "lo": "Lao",
    "lt": "Lithuanian",
    "lv": "Latvian",
    "mk": "Macedonian",
    "ml": "Malayalam",
    "mn": "Mongolian",
    "mr": "Marathi",
    "ms": "Malay",
    "my": "Burmese",
    "ne": "Nepali",
    "nl": "Dutch",
    "no": "Norwegian",
    "pa": "Punjabi",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "si": "Sinhala",
    "sk": "Slovak",
    "sl": "Slovenian",
    "sq": "Albanian",
    "sr": "Serbian",
    "sv": "Swedish",
    "sw": "Swahili",
    "ta": "Tamil",
    "te": "Telugu",
    "th": "Thai",
    "tl": "Tagalog",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "ur": "Urdu",
    "vi": "Vietnamese",
    "zh": "Chinese",
}

# Those that are written in more than one script stand under the one most texts of chats are in.
SCRIPTS: Final[dict[str, tuple[str, ...]]] = {
    HAN: ("zh", "ja"),
    KANA: ("ja",),
    "hangul": ("ko",),
    "cyrillic": ("ru", "uk", "be", "bg", "kk", "mk", "mn", "sr"),
    "arabic": ("ar", "fa", "ur"),
    "devanagari": ("hi", "mr", "ne"),
    "greek": ("el",),
    "hebrew": ("he",),
    "armenian": ("hy",),
    "georgian": ("ka",),
    "bengali": ("bn",),
    "gurmukhi": ("pa",),
    "gujarati": ("gu",),
    "tamil": ("ta",),
    "telugu": ("te",),
    "kannada": ("kn",),
    "malayalam": ("ml",),
    "sinhala": ("si",),
    "thai": ("th",),
    "lao": ("lo",),
    "burmese": ("my",),
    "ethiopic": ("am",),
    "khmer": ("km",),
}
_ELSEWHERE: Final = {language for languages in SCRIPTS.values() for language in languages}
LATINS: Final = tuple(language for language in NAMES if language not in _ELSEWHERE)

USUAL: Final = (
    "zh", "en", "ja", "ko", "fr", "de", "es", "pt", "ru", "ar", "it", "nl", "pl", "tr", "vi", "th", "id", "hi", "uk",
    "cs", "sv", "el", "he", "fa",
)  # fmt: skip
"""What is told apart where nobody chose: those whose accuracy `docs/languages.md` shows."""


def written_in(script: str) -> tuple[str, ...]:
    return LATINS if script == LATIN else SCRIPTS.get(script, ())
