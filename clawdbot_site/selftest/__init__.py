"""Tests of a promise against an instance of its own, as commands: `manage.py selftest …`."""
