"""Balancing policies under faults, with the real gateway: `python -m benchmarks.routing [--policies …] [--faults …]`.

Eleven upstreams of 167 ms, four workers, open-loop load; in the middle half of each run one upstream is slow (2 s),
fails at once, hangs (5 s until the gateway gives up), answers 429 with `Retry-After: 2`, or dies after its first token;
or all fail 5 percent. The gateway retries once, whatever the policy. Good is a whole answer within a second of when the
request was due. `--picture FILE` draws who got the traffic."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

from benchmarks.processes import LOAD_CORE
from benchmarks.routing.picture import draw
from benchmarks.routing.policies import POLICIES
from benchmarks.routing.running import FAULTS, UPSTREAMS, WORKERS, Gateway, Outcome, measure


async def _one(policy: str, fault: str, rate: float, seconds: float) -> Outcome:
    """With a gateway of its own: what it learnt under another fault would count."""
    with Gateway(policy) as gateway:
        outcome = await measure(gateway, policy, fault, rate=rate, seconds=seconds)
    print(
        f"{policy:14} {fault:9} {outcome.good:8.3f} {outcome.failed:8.3f} "
        f"{outcome.p50:7.0f} {outcome.p99:7.0f} {outcome.calls:7.3f}",
        flush=True,
    )
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policies", nargs="*", choices=list(POLICIES), default=list(POLICIES))
    parser.add_argument("--faults", nargs="*", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    os.sched_setaffinity(0, LOAD_CORE)
    print(f"{'policy':14} {'fault':9} {'good %':>8} {'failed %':>8} {'p50 ms':>7} {'p99 ms':>7} {'calls':>7}")
    outcomes = [
        asyncio.run(_one(policy, fault, options.rate, options.seconds))
        for policy in options.policies
        for fault in options.faults
    ]
    if options.picture:
        title = f"Share of the first of {UPSTREAMS} upstreams, {WORKERS} workers, {options.rate:.0f} requests a second"
        options.picture.write_text(draw(outcomes, title))


if __name__ == "__main__":
    main()
