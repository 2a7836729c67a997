"""`evalintents FILE [--min-in-scope X --min-oos-recall Y]`: how good intent recognition is on a labelled file.

Exit code 0: it does what is demanded, 1: it does not, 2: the file cannot be used."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError

from plugins.intents import evaluation
from plugins.intents.vectors import word_vectors


class Command(BaseCommand):
    help = (
        "Trains on a labelled file (train, val, test, oos_train, oos_val, oos_test) and prints how good it is, as JSON."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="path of the JSON file, or - for standard input")
        parser.add_argument("--min-in-scope", type=_share, metavar="X", help="least in-scope accuracy, 0 to 1")
        parser.add_argument("--min-oos-recall", type=_share, metavar="Y", help="least out-of-scope recall, 0 to 1")
        parser.add_argument("--without-vectors", action="store_true", help="as where no word vectors are installed")

    def handle(
        self, *, file: str, min_in_scope: float | None, min_oos_recall: float | None, without_vectors: bool, **_: Any
    ) -> None:
        try:
            labelled = evaluation.read(sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes())
        except OSError as error:
            raise CommandError(f"{file}: {error.strerror or error}", returncode=2) from None
        except evaluation.UnusableFile as error:
            raise CommandError(f"{file}: {error}", returncode=2) from None
        vectors = None if without_vectors else word_vectors()
        found = evaluation.evaluate(labelled, vectors, in_scope=min_in_scope, oos_recall=min_oos_recall)
        self.stdout.write(msgspec.json.encode(found).decode())
        if min_in_scope is not None and found.in_scope_accuracy < min_in_scope:
            raise CommandError(f"the in-scope accuracy is under {min_in_scope}", returncode=1)
        if min_oos_recall is not None and (found.oos_recall is None or found.oos_recall < min_oos_recall):
            raise CommandError(f"the out-of-scope recall is under {min_oos_recall}", returncode=1)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 <= share <= 1:
        raise ArgumentTypeError(f"{text} is not between 0 and 1")
    return share
