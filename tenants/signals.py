"""`config_changed` is sent after every saved or deleted row of configuration, inside the same transaction.

Arguments: `sender` the model class, `section` the part of the live configuration it belongs to, `instance` the row,
`before` and `after` its public values as plain dictionaries (None: it did not exist, it is gone). The change bus
(`tenants.live`) and the journal listen; nothing else belongs here."""

from django.dispatch import Signal

config_changed = Signal()
