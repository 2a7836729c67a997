"""That somebody knows of an alert."""

from __future__ import annotations

import time
from typing import Final

from tenants.models import Alert

LONGEST_NAME: Final = 100


def acknowledge(alert: Alert, by: str) -> None:
    """It is not told again until it is over. Who was first stays."""
    if alert.acknowledged_at is not None or alert.state == Alert.State.RESOLVED:
        return
    told = {"acknowledged_at": time.time(), "acknowledged_by": by[:LONGEST_NAME]}
    mine = Alert.objects.everywhere().filter(pk=alert.pk, acknowledged_at=None)
    mine.update(**told)
    alert.refresh_from_db(fields=list(told))
