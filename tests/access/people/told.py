"""What the journal was told of people."""

import msgspec

from compliance.changes import Change
from compliance.models import ChangeRecord


def told():
    return [msgspec.json.decode(bytes(one.body), type=Change) for one in ChangeRecord.objects.everywhere()]


def actions():
    return [each.action for each in told() if each.action not in ("created", "changed", "deleted")]
