"""The calls of instances, as they are counted."""

import asyncio

import msgspec

from engine.errors import UpstreamError
from routing.router import RuleRouter
from tests.routing.fleet import Fleet, entry


class Calls:
    def __init__(self):
        self.first, self.ended = [], []

    def first_token(self, *, instance, model, seconds):
        self.first.append((instance, model, seconds))

    def call(self, *, instance, model, error, seconds):
        self.ended.append((instance, model, error, seconds))


def counted(*entries):
    fleet = Fleet(list(entries))
    calls = Calls()
    fleet.router = RuleRouter(fleet.cell, meter=calls, clock=fleet.clock, monotonic=fleet.clock)
    return fleet, calls


def test_it_counts_calls_once_with_the_names_operators_know():
    named = entry(1, "gpt-*", owner="acme", upstream_model="gpt-9")
    fleet, calls = counted(msgspec.structs.replace(named, label="east"))
    route = fleet.ask(model="gpt-callers-own-words")
    fleet.clock.now += 0.5
    route.first_token()
    fleet.clock.now += 1
    route.outcome(None)
    route.outcome(UpstreamError())
    assert calls.first == [("acme: gpt-* (east)", "gpt-*", 0.5)]
    assert calls.ended == [("acme: gpt-* (east)", "gpt-*", "", 1.5)]


def test_it_counts_how_they_failed_and_none_that_was_not_made():
    fleet, calls = counted(entry(1, "a"))
    fleet.ask().outcome(UpstreamError())
    fleet.ask().outcome(asyncio.CancelledError())
    fleet.ask().outcome(ZeroDivisionError())
    fleet.ask().unused()
    route = fleet.ask()
    route.unused()
    route.again(3).outcome(None)
    assert [error for _, _, error, _ in calls.ended] == ["upstream_error", "cancelled", "internal_error", ""]
