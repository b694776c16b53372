"""Error of the analysis for jobs whose true behaviour is known.

`python -m tests.analysis.activity.accuracy` prints the tables of
`nvltop/analysis/activity/README.md`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from nvltop.analysis.activity.pair_estimate import fit_pairs
from nvltop.model import Activity, known

from .patterns import Drawn, accumulated, paused, plain, random_bursts, two_bursts
from .rig import Gpus


@dataclass
class Case:
    """A job and its true values; None where there must be no result."""

    name: str
    flows: list[Drawn]
    step_s: float | None
    share: float | None = None
    seconds: float = 256.0
    interval_s: float = 0.25
    options: dict[str, Any] = field(default_factory=dict)


def cases() -> Iterator[Case]:
    """Yield the jobs of the table."""
    yield Case("bursts, 0.9 s, read every 0.2 s", [plain(0.9, 0.4)] * 4, 0.9, 0.4, interval_s=0.2)
    yield Case("bursts, 0.9 s, read every 0.25 s", [plain(0.9, 0.4)] * 4, None)
    for step in (1.1, 2.0, 3.7, 8.3, 19.0, 45.0):
        yield Case(f"bursts, {step:g} s", [plain(step, 0.3)] * 4, step, 0.3)
    for step in (1.4, 6.0, 30.0):
        yield Case(f"bursts, {step:g} s, step jitter of 3 %", [plain(step, 0.4, 0.03)] * 4, step, 0.4)
    yield Case("mostly traffic, 5 s", [plain(5.0, 0.85, 0.01)] * 4, 5.0, 0.85)
    for step, micro in ((4.0, 2), (10.0, 4), (24.0, 8)):
        flow = accumulated(step, micro, 0.3, 0.1, 0.01)
        yield Case(f"gradient accumulation, {step:g} s in {micro} parts", [flow] * 4, step, 0.35 * 0.9)
    flow = two_bursts(6.0, 0.6, 0.4, 0.01)
    yield Case("forward and backward, 6 s", [flow] * 4, 6.0, 0.4)
    yield Case("2 s, evaluation of 12 s every 30 steps", [paused(2.0, 30, 12.0, 0.3, 0.01)] * 4, 2.0)
    yield Case("1.5 s, checkpoint of 20 s every 60 steps", [paused(1.5, 60, 20.0, 0.3, 0.01)] * 4, 1.5)
    stages = [shifted(plain(8.0, 0.2, seconds=300.0), 2.0 * k) for k in range(4)]
    yield Case("pipeline of 4 stages, 8 s", stages, 8.0, 0.2)
    yield Case(
        "2.6 s, no reading for 7 s each minute", [plain(2.6, 0.4)] * 4, 2.6, 0.4, options={"lost": gaps}
    )
    for faster in (0.3, 0.6):
        yield Case(f"bursts, {faster:g} s: faster than the readings", [plain(faster, 0.3)] * 4, None)
    yield Case("bursts at random", [random_bursts(2.0)] * 4, None)
    yield Case("bursts of 0.1 s every 4 s", [plain(4.0, 0.025)] * 4, 4.0)


def shifted(flow: Drawn, by: float) -> Drawn:
    """Return the same traffic, `by` seconds later."""
    return Drawn(flow.base, [s + by if s else s for s in flow.starts], flow.sums, flow.levels)


def gaps(t: float) -> bool:
    """Return whether nothing is read at time `t`."""
    return t % 60.0 < 7.0


def answer(case: Case) -> Activity:
    """Return the activity of a job as the analysis reports it."""
    scaled = [Drawn(f.base, f.starts, [3 * v for v in f.sums], [3 * v for v in f.levels]) for f in case.flows]
    gpus = Gpus(scaled, interval_s=case.interval_s, **case.options)
    return gpus.run(case.seconds)[0]


def error(found: object, true: float | None) -> str:
    """Return the error against the truth, in percent of it."""
    if not isinstance(found, float):
        return "-"
    return "wrong" if true is None else f"{100 * (found / true - 1):+.1f}%"


def patterns(n: int = 8) -> Iterator[tuple[str, list[list[float]]]]:
    """Yield how GPUs may exchange data, as bytes from row to column."""
    yield "all to all", [[0.0 if i == j else 1.0 for j in range(n)] for i in range(n)]
    weights = [1.0 + i % 3 for i in range(n)]
    uneven = [[0.0 if i == j else weights[i] * weights[j] for j in range(n)] for i in range(n)]
    yield "all to all, some GPUs more than others", uneven
    tree = [[float(i != j and (i == (j - 1) // 2 or j == (i - 1) // 2)) for j in range(n)] for i in range(n)]
    yield "tree, both ways", tree
    yield "ring", [[float(j == (i + 1) % n) for j in range(n)] for i in range(n)]
    yield "pairs, all at once", [[float(j == i ^ 1) for j in range(n)] for i in range(n)]
    yield "one pair at a time", [[float((i, j) == (2, 3)) for j in range(n)] for i in range(n)]


def misplaced(true: list[list[float]]) -> float:
    """Return the share of the traffic that the estimate attributes to the wrong pair."""
    n = len(true)
    found = fit_pairs([sum(row) for row in true], [sum(row[j] for row in true) for j in range(n)])
    assert known(found)
    wrong = sum(abs(found[i][j] - true[i][j]) for i in range(n) for j in range(n))
    return wrong / 2 / sum(map(sum, true))


def pair_rows() -> list[str]:
    """Return the table of the estimate's errors, as Markdown."""
    out = ["| traffic of 8 GPUs | attributed to the wrong pair |", "|---|---:|"]
    return out + [f"| {name} | {misplaced(true):.0%} |" for name, true in patterns()]


HEAD = """\
| job | step | found | error | communication | found | error |
|---|---:|---:|---:|---:|---:|---:|"""


def row(case: Case, found: Activity) -> str:
    """Return a line of the table, as Markdown."""
    step = found.step.period_s if known(found.step) else None
    share = found.communication if known(found.communication) else None
    cells = [
        case.name,
        f"{case.step_s:g} s" if case.step_s else "none",
        "-" if step is None else f"{step:.2f} s",
        error(step, case.step_s),
    ]
    shown = "-" if share is None else f"{share:.1%}"
    cells += [f"{case.share:.0%}", shown, error(share, case.share)] if case.share else ["", "", ""]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    print("\n".join([HEAD, *(row(case, answer(case)) for case in cases()), "", *pair_rows()]))
