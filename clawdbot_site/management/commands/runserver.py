"""The development server is daphne's. Its app is not installed: it would load Twisted into every process."""

from daphne.management.commands.runserver import Command as DaphneCommand


class Command(DaphneCommand):
    pass
