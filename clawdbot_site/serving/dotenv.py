"""Reads `.env`: `NAME=value` lines, as people write them."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from pathlib import Path

LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")


class BadLine(Exception):
    """Its text names the file and the line."""


def parse(text: str, name: str = ".env") -> dict[str, str]:
    """Blank lines and `# comments` are skipped; a value may stand in single or double quotes (in double ones `\\n`,
    `\\"` and `\\\\` mean what they mean); without quotes ` #` begins a comment. Raises BadLine."""
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = LINE.match(line)
        if match is None:
            raise BadLine(f"{name}:{number}: expected NAME=value")
        values[match[1]] = _value(match[2], f"{name}:{number}")
    return values


def _value(written: str, where: str) -> str:
    quote = written[:1]
    if quote not in ("'", '"'):
        return re.split(r"(?:^|\s)#", written, maxsplit=1)[0].strip()
    pattern = r"'([^']*)'" if quote == "'" else r'"((?:[^"\\]|\\.)*)"'
    match = re.fullmatch(pattern + r"(?:\s+#.*|\s*)", written)
    if match is None:
        raise BadLine(f"{where}: the quote is not closed")
    if quote == "'":
        return match[1]
    return re.sub(r"\\(.)", lambda escape: {"n": "\n", "t": "\t"}.get(escape[1], escape[1]), match[1])


def load(path: Path, environment: MutableMapping[str, str]) -> None:
    """Adds what `environment` does not have yet; no file: nothing. `NAME_FILE` there also keeps `NAME` out."""
    if not path.is_file():
        return
    for name, value in parse(path.read_text(encoding="utf-8"), path.name).items():
        if name not in environment and f"{name}_FILE" not in environment:
            environment[name] = value
