#!/usr/bin/env python
"""Django's command line for this project. Reads `.env` beside it first (ENV_FILE names another, empty: none)."""

import os
import sys
from pathlib import Path

from clawdbot_site.serving import dotenv

FOR_OTHERS = {"collectstatic", "compilemessages", "makemessages", "makemigrations", "spectacular", "startapp"}


def main() -> None:
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    if command not in FOR_OTHERS:
        os.umask(0o077)  # keys, databases, journal and logs are for their owner
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clawdbot_site.settings")
    file = os.environ.get("ENV_FILE", ".env")
    try:
        if file:
            dotenv.load(Path(__file__).resolve().parent / file, os.environ)
    except dotenv.BadLine as error:
        sys.exit(str(error))
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from clawdbot_site import logs
    from tenants import actors

    logs.take_over()
    actors.become(actors.Actor(f"command:{command}", actors.account()))
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:  # a setting that cannot be read: it names the variable
        sys.exit(str(error))


if __name__ == "__main__":
    main()
