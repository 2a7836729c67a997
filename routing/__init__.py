"""Which model instance answers a turn: instances, rules, features of a request, health, selection, decision records.

Nothing here imports the tables: `routing.features` and `routing.conditions` work without Django being set up."""
