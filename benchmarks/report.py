"""Runs what shows README's claims and writes docs/benchmarks.md: `python -m benchmarks.report [NAME ...] [--quick]`.

Each runs by itself, its figures are kept in docs/benchmarks/NAME.json with machine, date and commit, and the page is
written from what is kept: what is not run again keeps its own date. `--quick` runs the small forms, whose figures say
nothing: they go to a folder of `--into` and are no page of the documentation. `--page` only writes the page."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.claims import BY_NAME, CLAIMS, Claim, unit
from benchmarks.machine import ROOT, Machine, machine

KEPT = ROOT / "docs" / "benchmarks"
PAGE = ROOT / "docs" / "benchmarks.md"
LONGEST = 4 * 3600.0
LINES = 80  # of an output; the rest of a long one is left out
INTRODUCTION = """# Benchmarks

Written by `python -m benchmarks.report`; what is said here about a run is what its command printed. How the figures are
taken and what each layer costs: [performance.md](performance.md). One command a claim of the README; run one again with
`python -m benchmarks.report NAME`.

CPU is the kernel's count for the process that is measured, on a core of its own; load and upstream have another. `wait`
is how long it was ready to run while another program had its core: where that is more than a few percent, rates and
latencies are too bad, and ratios within one run say more than they. `addition` and `fdatasync` say how fast the machine
was at that moment.
"""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a claim's command; `seconds` it took, `load` the machine's average at its end. `figures`: what it
    wrote with `--json`."""

    name: str
    command: str
    machine: Machine
    seconds: float
    load: float
    code: int
    output: str
    figures: Any = None


def perform(claim: Claim, *, quick: bool = False) -> Run:
    """Its command's run. Its output is shown as it comes."""
    arguments = list(claim.quick if quick else claim.command)
    command = " ".join(["python", *arguments])
    before = machine()
    with tempfile.TemporaryDirectory(prefix="clawdbot-report-") as folder:
        file = Path(folder) / "figures.json"
        if claim.tables:
            arguments += ["--json", str(file)]
        began = time.monotonic()
        code, output = _shown([sys.executable, *arguments])
        seconds = time.monotonic() - began
        figures = msgspec.json.decode(file.read_bytes()) if file.exists() else None
    return Run(
        name=claim.name,
        command=command,
        machine=before,
        seconds=seconds,
        load=os.getloadavg()[0],
        code=code,
        output=_fit_to_print(output),
        figures=figures,
    )


def _shown(command: Sequence[str]) -> tuple[int, str]:
    said: list[str] = []
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert running.stdout is not None
    try:
        for line in running.stdout:
            sys.stdout.write(line)
            said.append(line)
        return running.wait(LONGEST), "".join(said)
    finally:
        if running.poll() is None:
            running.terminate()
            running.wait(60)


def _fit_to_print(output: str) -> str:
    """Without the machine's own paths, pytest's rows of dots, and colours; the end of what is long."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", output).replace(f"{ROOT}/", "").replace(str(ROOT), ".")
    text = re.sub(rf"{re.escape(tempfile.gettempdir())}/\S+", "…", text)
    lines = [line.rstrip() for line in text.splitlines() if not re.fullmatch(r"[.sxF]+\s*(\[ *\d+%])?", line.strip())]
    while lines and not lines[0]:
        lines.pop(0)
    return "\n".join(["…", *lines[-LINES:]] if len(lines) > LINES else lines)


# The page -----------------------------------------------------------------------------------------------------------


def page(runs: Sequence[Run]) -> str:
    found = {run.name: run for run in runs}
    parts = [INTRODUCTION]
    for claim in CLAIMS:
        parts.append(f"## {claim.name}\n\n{claim.says} ([more]({claim.page})).\n")
        run = found.get(claim.name)
        if run is None:
            parts.append(f"`python {' '.join(claim.command)}`: not run yet.\n")
        else:
            parts += _section(claim, run)
    return "\n".join(parts)


def _section(claim: Claim, run: Run) -> Iterator[str]:
    on = run.machine
    failed = "" if run.code == 0 else f" **It ended with {run.code}: what it is to show did not hold in this run.**"
    yield (
        f"`{run.command}`, {on.date} UTC, commit {on.commit or 'unknown'}, {run.seconds:,.0f} s.{failed} "
        f"{on.processor}, {on.cores} cores, {on.memory} GiB, {on.kernel}, Python {on.python}; load average "
        f"{on.load:.1f} before, {run.load:.1f} after; addition {on.addition:.0f} ns, fdatasync {on.fdatasync:.2f} ms.\n"
    )
    if run.figures and claim.tables:
        yield from _table(claim, run.figures)
    else:
        yield f"```\n{run.output}\n```\n"


def _table(claim: Claim, figures: dict[str, Any]) -> Iterator[str]:
    lines = ["| | a second | CPU µs | core | wait | p50 ms | p99 ms | aimed at |", "|---|---|---|---|---|---|---|---|"]
    for row in figures["rows"]:
        aim = claim.aims.get(row["name"])
        aimed = "" if aim is None else f"{aim:,.0f}: {'met' if row['rate'] >= aim else 'missed'}"
        lines.append(
            f"| {row['name']} | {row['rate']:,.0f} {row['unit']} | {row['cpu']:,.0f} | {row['core']:.0%} | "
            f"{row['wait']:.0%} | {row['p50']:,.1f} | {row['p99']:,.1f} | {aimed} |"
        )
    yield "\n".join([*lines, ""])
    lines = ["| | | aimed at |", "|---|---|---|"]
    for name, value in figures["figures"].items():
        most = claim.added.get(name)
        aimed = "" if most is None else f"at most {most:g}: {'met' if value <= most else 'missed'}"
        lines.append(f"| {name} | {f'{value:,.2f} {unit(name)}'.rstrip()} | {aimed} |")
    yield "\n".join([*lines, ""])
    yield from _beside(claim, figures["rows"])


def _beside(claim: Claim, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Others' CPU and rate against ours, in the same run."""
    ours = {row["name"]: row for row in rows}
    pairs = {"/v1": "/v1, everything on", "streams at once": "/v1, streams at once"}
    lines = []
    for row in rows:
        peer, _, what = row["name"].partition(", ")
        own = ours.get(pairs.get(what, ""))
        if own and peer and not peer.startswith("/"):
            times = own["rate"] / row["rate"]
            least = claim.times.get(row["name"])
            aimed = "" if least is None else f"{least:g}: {'met' if times >= least else 'missed'}"
            lines.append(f"| {row['name']} | {row['cpu'] / own['cpu']:,.1f} times ours | {times:,.1f} | {aimed} |")
    if lines:
        yield "\n".join(["| | CPU each | our rate, times theirs | aimed at |", "|---|---|---|---|", *lines, ""])


def kept(folder: Path = KEPT) -> list[Run]:
    return [msgspec.json.decode(file.read_bytes(), type=Run) for file in sorted(folder.glob("*.json"))]


def keep(run: Run, folder: Path = KEPT) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{run.name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="of claims; none: all of them")
    parser.add_argument("--list", action="store_true", help="only lists them")
    parser.add_argument("--quick", action="store_true", help="the small forms, which show that the commands work")
    parser.add_argument("--page", action="store_true", help="only writes the page from what is kept")
    parser.add_argument("--into", type=Path, help="a folder instead of docs/: NAME.json and benchmarks.md")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in BY_NAME]:
        parser.error(f"there is no {', '.join(unknown)}; --list has their names")
    if asked.quick and not asked.into:
        parser.error("--quick writes no page of the documentation: name a folder with --into")
    if asked.list:
        for claim in CLAIMS:
            sys.stdout.write(f"{claim.name:20} {claim.says}\n")
        return 0
    folder, written = (asked.into, asked.into / "benchmarks.md") if asked.into else (KEPT, PAGE)
    held = True
    for claim in () if asked.page else [BY_NAME[name] for name in asked.names] or CLAIMS:
        sys.stdout.write(f"\n== {claim.name}: {claim.says}\n")
        run = perform(claim, quick=asked.quick)
        keep(run, folder)
        held &= run.code == 0
    folder.mkdir(parents=True, exist_ok=True)
    written.write_text(page(kept(folder)))
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
