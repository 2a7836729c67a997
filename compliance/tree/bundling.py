"""The stand-alone verifier as one file, made from the modules it consists of."""

from __future__ import annotations

import ast
from typing import Final

from compliance.tree import ed25519, hashing, notes, verifier

PARTS: Final = (hashing, ed25519, notes, verifier)
FUTURE: Final = "from __future__ import annotations"


def bundle() -> str:
    """A program of the standard library alone: the modules one after the other, without their imports of each other."""
    documentation = ast.get_docstring(ast.parse(_source(verifier)), clean=False)
    parts = "\n\n".join(_without_imports(_source(module)) for module in PARTS)
    return f'#!/usr/bin/env python3\n"""{documentation}"""\n\n{FUTURE}\n\n{parts}\n'


def _source(module: object) -> str:
    with open(str(module.__file__), encoding="utf-8") as file:  # type: ignore[attr-defined]
        return file.read()


def _without_imports(source: str) -> str:
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("compliance.", "__future__")):
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
    return "\n".join(lines).strip()
