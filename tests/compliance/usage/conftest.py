"""Journals of their own, as for the suites of the journal."""

from tests.compliance.conftest import *  # noqa: F403
