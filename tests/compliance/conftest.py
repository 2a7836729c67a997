"""The journal's fixtures, for every suite of this folder."""

from tests.compliance.journals import empty_journal, journal, journal_alias, journal_file

__all__ = ["empty_journal", "journal", "journal_alias", "journal_file"]
