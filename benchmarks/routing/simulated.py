"""All policies in the simulation of the tests, as one table: `python -m benchmarks.routing.simulated [POLICY …]`.

Percent of good answers within the cut (1 s in A, 3 s else) without retries, and the 99th percentile in milliseconds."""

from __future__ import annotations

import sys

from benchmarks.routing.policies import POLICIES
from tests.routing.simulation import SCENARIOS, simulate


def main() -> None:
    print(f"{'':14}" + "".join(f"{name:>15}" for name in SCENARIOS))
    for policy in sys.argv[1:] or POLICIES:
        results = [simulate(scenario, policy) for scenario in SCENARIOS.values()]
        cells = [f"{result.good:8.2f} {result.quantile(0.99) * 1e3:6.0f}" for result in results]
        print(f"{policy:14}" + "".join(f"{cell:>15}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
