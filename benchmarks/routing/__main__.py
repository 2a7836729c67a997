"""Balancing policies under faults, with the real gateway: `python -m benchmarks.routing [--policies …] [--faults …]`.

Eleven upstreams of 167 ms, four workers, open-loop load. For half of each run one upstream is slow (2 s), fails at
once, hangs (5 s until the gateway gives up), answers 429 with `Retry-After: 2`, dies after its first token, or answers
garbage; or all fail 5 percent. The gateway retries, whatever the policy. Good is a whole answer within a second
of when the request was due. One slow upstream of eleven at 1,000 requests a second for 30 of 60 seconds is Linkerd's
published comparison of balancers.

Load, upstreams, gateway and store share the machine. Before anything else the highest rate up to `--rate` is looked for
at which, without a fault, the load is on time and the gateway has processors to spare; `--exactly` skips that. A run in
which one of them was short of time, or others used the machine, is called not valid. `--picture FILE` draws who got the
traffic."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import uvloop

from benchmarks.processes import LOAD_CORE
from benchmarks.routing.picture import Panel, draw
from benchmarks.routing.policies import POLICIES
from benchmarks.routing.running import FAULTS, UPSTREAMS, WORKERS, Gateway, Outcome, measure
from benchmarks.routing.verdict import HEAD, OURS, judged, row

SECONDS = {"slow": 60.0}  # of a run, if nothing else is asked for
USUAL_SECONDS = 36.0
CHECK_SECONDS = 8.0
SLOWER = 0.85  # the next rate that is tried
LEAST_RATE = 50.0


def one(policy: str, fault: str, rate: float, seconds: float) -> Outcome:
    """With a gateway of its own: what it learnt under another fault would count."""
    with Gateway(policy) as gateway:
        return told(uvloop.run(measure(gateway, policy, fault, rate=rate, seconds=seconds)))


def told(outcome: Outcome) -> Outcome:
    print(f"{outcome.fault}, {outcome.policy}: late {outcome.late:.1f} ms; processors: {outcome.usage}")
    for complaint in outcome.complaints:
        print(f"  NOT VALID: {complaint}")
    print(row(outcome), flush=True)
    return outcome


def highest(rate: float) -> float:
    """The highest rate up to this one that the machine carries without a fault."""
    with Gateway(OURS) as gateway:
        while rate > LEAST_RATE:
            outcome = told(uvloop.run(measure(gateway, OURS, "none", rate=rate, seconds=CHECK_SECONDS)))
            if not outcome.saturated:
                break
            print(f"{rate:.0f} requests a second are too many for this machine, as it is now", flush=True)
            rate = float(int(rate * SLOWER))
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policies", nargs="*", choices=list(POLICIES), default=list(POLICIES))
    parser.add_argument("--faults", nargs="*", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--rate", type=float, default=1000.0, help="requests a second, at most (default: 1000)")
    parser.add_argument("--exactly", action="store_true", help="that rate, whether the machine carries it or not")
    parser.add_argument("--seconds", type=float, help="of each run (default: 60 with a slow upstream, else 36)")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    os.sched_setaffinity(0, LOAD_CORE)
    began = time.monotonic()
    rate = options.rate if options.exactly else highest(options.rate)
    outcomes = [
        one(policy, fault, rate, options.seconds or SECONDS.get(fault, USUAL_SECONDS))
        for fault in options.faults
        for policy in options.policies
    ]
    what = f"{UPSTREAMS} upstreams, {WORKERS} workers, {rate:.0f} requests a second"
    print(f"\n{what}; {time.monotonic() - began:.0f} s\n\n{HEAD}")
    print("\n".join(map(row, outcomes)) + "\n")
    print("\n".join(judged(outcomes)))
    if rate < options.rate:
        print(f"{options.rate:.0f} requests a second could not be carried by {os.cpu_count()} processors")
    if options.picture:
        panels = [
            Panel(each.policy, each.fault, each.good, each.begin, each.end, each.shares, valid=not each.complaints)
            for each in outcomes
        ]
        options.picture.write_text(draw(panels, f"Calls of the faulty upstream ({what})"))


if __name__ == "__main__":
    main()
