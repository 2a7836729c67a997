"""The journal's fixtures, for every suite of this folder."""

from tests.compliance.journals import (
    empty_database,
    empty_journal,
    journal,
    journal_alias,
    journal_database,
    journal_file,
    place,
    place_alias,
    postgres,
)

__all__ = [
    "empty_database",
    "empty_journal",
    "journal",
    "journal_alias",
    "journal_database",
    "journal_file",
    "place",
    "place_alias",
    "postgres",
]
