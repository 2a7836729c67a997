"""`manage.py sequencer`: folds the journal's entries into its trees, signs checkpoints, sees to retention."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from clawdbot_site.serving import sequencer


class Command(BaseCommand):
    help = "Folds the journal into its trees and signs checkpoints. One leads at a time, further ones stand by."

    def handle(self, *args: Any, **options: Any) -> None:
        sequencer.serve()
