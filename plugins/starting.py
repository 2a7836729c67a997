"""Begins a plugin's package from the files of `plugins/skeleton/`: they are a plugin that works, to be changed."""

from __future__ import annotations

import keyword
import re
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Final, NamedTuple

from plugins import registry

SKELETON: Final = Path(__file__).parent / "skeleton"
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
ENDING: Final = ".txt"  # so that nobody takes a file of the skeleton for code


class CannotStart(Exception):
    """The text says why, in a line."""


class Names(NamedTuple):
    """What is called how, of a plugin called `name`."""

    name: str
    label: str
    package: str
    module: str
    class_name: str


def names_of(name: str) -> Names:
    """Raises CannotStart: it is no good name, or taken."""
    if not NAME.fullmatch(name) or name.endswith("_") or "__" in name or keyword.iskeyword(name):
        raise CannotStart(
            f"{name!r} is no name for a plugin: at most 40 small letters, digits and single underscores, a letter "
            "first, and no word of Python's."
        )
    words = name.split("_")
    module = f"clawdbot_{name}"
    if name in registry.names():
        raise CannotStart(f"There is a plugin {name!r} already.")
    if find_spec(module) is not None:
        raise CannotStart(f"There is a module {module!r} already: choose another name.")
    return Names(
        name=name,
        label=" ".join(words).capitalize(),
        package=module.replace("_", "-"),
        module=module,
        class_name="".join(word.capitalize() for word in words) + "Plugin",
    )


def start(name: str, folder: Path | None = None) -> list[Path]:
    """Writes the package into a folder that is not there yet, by default one called as the package, beside. The files
    that were written. Raises CannotStart."""
    names = names_of(name)
    folder = folder if folder is not None else Path(names.package)
    texts = {
        file.name.removesuffix(ENDING).replace("module", names.module): Template(file.read_text(encoding="utf-8"))
        for file in sorted(SKELETON.glob(f"*{ENDING}"))
    }
    try:
        folder.mkdir(parents=True)
        for file, text in texts.items():
            (folder / file).write_text(text.substitute(names._asdict()), encoding="utf-8")
    except FileExistsError:
        raise CannotStart(f"{folder} is there already: nothing was written.") from None
    except OSError as error:
        raise CannotStart(f"{folder} cannot be written: {error.strerror or error}.") from None
    return [folder / file for file in texts]
