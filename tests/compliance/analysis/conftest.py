"""Journals of their own, as for the suites of the journal."""

from tests.compliance.analysis.journal import kept, kept_on_server
from tests.compliance.conftest import *  # noqa: F403

__all__ = ["kept", "kept_on_server"]
