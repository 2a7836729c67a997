"""What may stand in a log line: the last defence where something that is secret, or that a person said, got into one.

What people say turns up in the messages of exceptions (`invalid literal for int(): 'My card is …'`), so of those only
what is known to quote nobody is told. Secrets are found by their look and, those of the settings, by their value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from engine.errors import EngineError

REDACTED: Final = "[redacted]"
WITHHELD: Final = "(its message is withheld)"
LONGEST: Final = 8_000  # characters of one value
SPARE: Final = 4_096  # beyond it, so that a secret is not cut in two before it is looked for
SHORTEST: Final = 8  # characters of a setting's secret that is looked for: a shorter one is a word like any other

# What may stand at each word of a text is bounded: else one of "a-a-a-…", which callers can have logged with the path
# of a request, would be read from each of its words to its end.
_LOOKS: Final = (
    (re.compile(r"\b(Bearer|Basic)\s+[^\s\"',]+", re.IGNORECASE), rf"\1 {REDACTED}"),
    (re.compile(r"\b(?:cb|cv)_[0-9A-Za-z][0-9A-Za-z._-]{11,}"), REDACTED),
    (re.compile(r"\bwhsec_[0-9A-Za-z+/=_-]{8,}"), REDACTED),
    (re.compile(r"\bsk-[0-9A-Za-z_-]{8,}"), REDACTED),
    (  # a JWT; the header of one that carries its certificates is long, and read to its end from its first word alone
        re.compile(r"\beyJ(?:(?<![0-9A-Za-z_-]eyJ)[0-9A-Za-z_-]{6,}+|[0-9A-Za-z_-]{6,512}+)(?:\.[0-9A-Za-z_-]+){1,4}"),
        REDACTED,
    ),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{30,}"), REDACTED),
    (
        re.compile(
            r"(\b[a-z][a-z0-9+.-]{0,30}://[^\s:/@]{0,512}):[^\s@]{1,512}@(?:[^\s@/\"',]{0,512}@)*", re.IGNORECASE
        ),
        rf"\1:{REDACTED}@",
    ),
    (
        re.compile(
            r"((?:passw(?:or)?d|secret|api[_-]?key|token|ticket|authorization|credential)[\"']?\s*[=:]\s*[\"']?)"
            r"(?!\[redacted)[^\s\"'&,;)}]{6,}",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
)

# Exceptions whose messages tell of the program or of the machine and quote nothing they were given.
_TELLING: Final = (OSError, ImportError, AttributeError, TypeError, NameError, NotImplementedError)
_TELLING_NAMES: Final = frozenset(
    {"ConnectionError", "ImproperlyConfigured", "IntegrityError", "InterfaceError", "OperationalError", "TimeoutError"}
)  # of drivers, which each have their own; of these the first line: the next may hold a row
_OURS: Final = frozenset("access adapters clawdbot_site compliance engine plugins routing sessions_app tenants".split())
_CONTROL: Final = {
    number: f"\\x{number:02x}" for number in (*range(0x20), *range(0x7F, 0xA0))
} | {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x2028: "\\u2028", 0x2029: "\\u2029"}  # fmt: skip

Redact = Callable[[str], str]


def redactor(secrets: Iterable[str] = ()) -> Redact:
    """What takes secrets out of a text; `secrets` are looked for as they are."""
    known = sorted({secret for secret in secrets if len(secret) >= SHORTEST}, key=len, reverse=True)
    values = re.compile("|".join(map(re.escape, known))) if known else None

    def redact(text: str) -> str:
        size = len(text)
        text = text[: LONGEST + SPARE]
        if values is not None:
            text = values.sub(REDACTED, text)
        for look, instead in _LOOKS:
            text = look.sub(instead, text)
        if size <= LONGEST:
            return text
        # What was taken out may have brought the end of a text that was cut here, and half a secret there, into sight.
        seen = LONGEST if size <= LONGEST + SPARE else min(LONGEST, max(0, len(text) - SPARE))
        return f"{text[:seen]}…"

    return redact


def one_line(text: str) -> str:
    """Control characters, line breaks among them, as they are written in programs."""
    return text.translate(_CONTROL)


def told(error: BaseException) -> str:
    """The type of an exception, and its message where that cannot quote anybody."""
    kind = type(error)
    if isinstance(error, EngineError):  # its message is for the caller, and may be an upstream's
        return f"{kind.__name__} [{error.code}]"
    if isinstance(error, UnicodeError) or not _is_telling(kind):
        return f"{kind.__name__}: {WITHHELD}" if error.args else kind.__name__
    said = text_of(error).strip().partition("\n")[0]
    return f"{kind.__name__}: {said}" if said else kind.__name__


def text_of(value: Any) -> str:
    """What its own method says of it, if it does."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - border: whoever logs may have written anything
        return f"({type(error).__name__})"


def _is_telling(kind: type[BaseException]) -> bool:
    return (
        issubclass(kind, _TELLING)
        or any(base.__name__ in _TELLING_NAMES for base in kind.__mro__)
        or kind.__module__.partition(".")[0] in _OURS
    )


def harmless(value: Any) -> Any:
    """An argument of a log line; exceptions as `told`."""
    if isinstance(value, BaseException):
        return told(value)
    if isinstance(value, tuple | list) and any(isinstance(each, BaseException) for each in value):
        return [harmless(each) for each in value]
    return value
