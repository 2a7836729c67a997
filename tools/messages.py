"""The messages people read in the consoles, in every language: reads them out of the sources, compiles the catalogues.

    .venv/bin/python tools/messages.py            writes access/locale/*/LC_MESSAGES/django.po and .mo
    .venv/bin/python tools/messages.py --check    exit code 1 unless they are complete and up to date

Django's `makemessages` would want GNU gettext on the machine; this is Babel. Beside what is marked in Python and in
templates it takes what models say of themselves (see `access.translating`)."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import django
import unfold
from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("access", "clawdbot_site", "compliance", "engine", "plugins", "routing", "sessions_app", "tenants")
LOCALES = ROOT / "access" / "locale"
KEYWORDS = {
    **DEFAULT_KEYWORDS,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext_lazy": (1, 2),
    "pgettext_lazy": ((1, "c"), 2),
}
DATES = re.compile(rb'(?m)^"(?:POT-Creation-Date|PO-Revision-Date|Generated-By|Last-Translator)[^\n]*\n')
THEN = datetime(2026, 1, 1, tzinfo=UTC)
PLACE = re.compile(r"%\((\w+)\)[sd]|\{(\w*)\}|%[sd]")


def main() -> int:
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clawdbot_site.settings")
    django.setup()
    wanted = collect()
    problems = []
    for folder in sorted(LOCALES.iterdir()):
        file = folder / "LC_MESSAGES" / "django.po"
        catalogue = merged(wanted, file, folder.name)
        if "--check" in sys.argv[1:]:
            problems += [f"{file.relative_to(ROOT)}: {problem}" for problem in check(catalogue, file)]
        else:
            file.write_bytes(text(catalogue))
            file.with_suffix(".mo").write_bytes(compiled(catalogue))
            missing = sum(1 for message in catalogue if message.id and not translated(message.string))
            sys.stdout.write(f"{folder.name}: {len(catalogue)} messages, {missing} to translate\n")
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    return 1 if problems else 0


def collect() -> Catalog:
    """Every message of the sources, with the files it is in."""
    found = Catalog(charset="utf-8")
    for name, path in sources():
        for _line, message, _comments, context in extract("python", python_of(path), keywords=KEYWORDS):
            found.add(message, locations=[(name, 0)], context=context, flags=flags(message))
    for message, place in (*of_models(), *of_extensions()):
        found.add(message, locations=[(place, 0)])
    return found


def sources() -> Iterator[tuple[str, Path]]:
    """Names for people, and the files. django-unfold brings no catalogue: its words are among ours."""
    theme = Path(unfold.__file__).parent
    roots = [(ROOT, ROOT / folder) for folder in FOLDERS] + [
        (theme.parent, theme),
        (theme.parent, theme / "contrib/filters"),
    ]
    for base, folder in roots:
        for pattern in ("*.py", "*.html", "*.txt"):
            for path in sorted(folder.rglob(pattern)):
                inside = path.relative_to(folder).parts
                if "migrations" in inside or (folder == theme and "contrib" in inside):
                    continue
                if path.suffix == ".py" or "templates" in path.parts:
                    yield path.relative_to(base).as_posix(), path


def python_of(path: Path) -> io.BytesIO:
    """A template as a program with the same messages (`django.utils.translation.template`)."""
    from django.utils.translation.template import templatize  # noqa: PLC0415  # needs settings

    if path.suffix == ".py":
        return io.BytesIO(path.read_bytes())
    program = templatize(path.read_text(encoding="utf-8"), origin=str(path))
    return io.BytesIO(re.sub(r"(?m)^\s+", "", program).encode())


def of_models() -> Iterator[tuple[str, str]]:
    from access import translating  # noqa: PLC0415  # needs settings

    for model in translating.models():
        for message in translating.messages(model):
            yield message, f"{model.__module__.replace('.', '/')}.py"


def of_extensions() -> Iterator[tuple[str, str]]:
    """What built-in plugins and adapters say of themselves; what others bring is shown as it is."""
    from access.console import setting_fields  # noqa: PLC0415  # needs settings
    from adapters import registry as adapters  # noqa: PLC0415
    from plugins import registry as plugins  # noqa: PLC0415
    from plugins.describing import traits_of  # noqa: PLC0415

    for label in adapters.labels().values():
        yield label, "adapters/registry.py"
    for plugin in map(plugins.get, plugins.names()):
        if plugin.__module__.startswith("plugins."):
            place = f"{plugin.__module__.replace('.', '/')}.py"
            traits = traits_of(plugin.name)
            about = traits.about.split("\n\n") if traits is not None else []  # paragraph by paragraph, as pages show it
            yield from ((each, place) for each in (plugin.label, *about, *setting_fields.said(plugin.Settings)) if each)


def flags(message: str | tuple[str, ...]) -> list[str]:
    return ["python-format"] if "%(" in str(message) else []


def merged(wanted: Catalog, file: Path, locale: str) -> Catalog:
    """The wanted messages with the translations there are; what nobody wants any more is gone."""
    known = read_po(io.BytesIO(file.read_bytes()), locale=locale) if file.exists() else Catalog()
    catalogue = Catalog(locale=locale, charset="utf-8", project="Clawdbot", version="", fuzzy=False)
    catalogue.header_comment = "# What the consoles say. Written by tools/messages.py; translate the msgstr here."
    for message in sorted(wanted, key=lambda each: (str(each.id), each.context or "")):
        if not message.id:
            continue
        old = known.get(message.id if isinstance(message.id, str) else message.id[0], message.context)
        string = old.string if old is not None and isinstance(old.id, str) == isinstance(message.id, str) else None
        if isinstance(message.id, tuple) and isinstance(string, str):
            string = (string,)
        places = sorted({place for place, _line in message.locations})
        catalogue.add(
            message.id, string, locations=[(place, 0) for place in places], flags=message.flags, context=message.context
        )
    return catalogue


def text(catalogue: Catalog) -> bytes:
    out = io.BytesIO()
    write_po(out, catalogue, width=120, sort_output=False, include_lineno=False, omit_header=False)
    return DATES.sub(b"", out.getvalue())


def compiled(catalogue: Catalog) -> bytes:
    """The same bytes whenever it is done: dates in the header say when the sources were read."""
    out = io.BytesIO()
    plain = read_po(io.BytesIO(text(catalogue)), locale=str(catalogue.locale))
    plain.creation_date = plain.revision_date = THEN
    write_mo(out, plain)
    return out.getvalue()


def check(catalogue: Catalog, file: Path) -> Iterator[str]:
    for message in catalogue:
        if not message.id:
            continue
        if not translated(message.string):
            yield f"not translated: {message.id!r}"
            continue
        last = message.id if isinstance(message.id, str) else message.id[-1]
        strings = [message.string] if isinstance(message.string, str) else message.string or []
        if any(places(string) != places(last) for string in strings):
            yield f"other placeholders than the message: {message.id!r}"
    if not file.exists() or file.read_bytes() != text(catalogue):
        yield "is not what the sources say; run tools/messages.py"
    mo = file.with_suffix(".mo")
    if not mo.exists() or mo.read_bytes() != compiled(catalogue):
        yield "the compiled catalogue is another one; run tools/messages.py"


def places(string: str) -> list[str]:
    return sorted(match[0] for match in PLACE.finditer(string))


def translated(string: object) -> bool:
    return bool(string) and all(string if isinstance(string, tuple | list) else [string])


if __name__ == "__main__":
    sys.exit(main())
