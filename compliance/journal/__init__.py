"""The audit journal: every turn leaves an intent and a completion, durable before its answer (see `docs/journal.md`).

`opening.open_journal()` gives a process its writer, `reader` reads what all of them wrote."""
