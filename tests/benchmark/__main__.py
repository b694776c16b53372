"""What nvltop costs: `python tests/benchmark --help`.

Most is measured from outside, on the real program in a real pseudo-terminal. Machines are noisy: compare
figures of one run, or of two runs one after the other (`--save`, then `--against`). `--stages` and `--memory`
run the code on a simulated clock. Only `--guard` counts instead of measuring, and is the same everywhere.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from measure import Result, driver_cost, duration, environment, in_terminal
from table import table

HERE = Path(__file__).parent
NVLTOP = (sys.executable, "-m", "nvltop")
INTERVAL_S = 0.25
LOADS = ("training", "idle")
Case = tuple[str, tuple[str, ...], "float | None", dict[str, str], bool]
"""Name, command, interval (None for other programs), environment, and whether the program is nvltop."""
COMMANDS = (("--version",), ("--help",), ("--once", "--json", "--interval", "0.5"))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/benchmark", description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", default="80x24,120x40,200x60", metavar="LIST")
    parser.add_argument("--loads", default=",".join(LOADS), metavar="LIST")
    parser.add_argument("--node", default="dgx-h100", help="the simulated node")
    parser.add_argument("--seconds", type=float, default=10.0, help="of steady running, for each case")
    parser.add_argument("--library", type=Path, metavar="DIR", help="also with this libnvidia-ml.so.1")
    parser.add_argument("--program", action="append", default=[], metavar="COMMAND", help="beside another")
    parser.add_argument("--scale", action="store_true", help="only: cost per link and row on larger nodes")
    parser.add_argument("--stages", action="store_true", help="only: CPU time of both processes by stage")
    parser.add_argument("--memory", metavar="HOURS", help="only: memory after simulated hours, as in 1,24,48")
    parser.add_argument("--guard", action="store_true", help="only: fail if a count has grown (guard.json)")
    parser.add_argument("--accept", action="store_true", help="with --guard: write the counts of now into it")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the results as JSON")
    parser.add_argument("--against", type=Path, metavar="FILE", help="show the ratios to a saved run")
    return parser.parse_args()


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def programs(options: argparse.Namespace) -> list[Result]:
    results = []
    plain = environment(None)
    beside = environment(options.library) if options.library else plain
    real = [("nvltop on the library", (*NVLTOP, "--interval", str(INTERVAL_S)), INTERVAL_S, beside, True)]
    others = [(c, tuple(shlex.split(c)), None, beside, False) for c in options.program]
    for size in options.sizes.split(","):
        for load in options.loads.split(","):
            demo = (*NVLTOP, "--demo", options.node, "--scenario", load, "--interval", str(INTERVAL_S))
            cases: list[Case] = [("nvltop", demo, INTERVAL_S, plain, True)]
            if load == options.loads.split(",")[0]:
                cases += [*(real if options.library else ()), *others]
            for name, command, interval_s, where, ours in cases:
                note(f"{name} {size} {load}")
                results.append(
                    in_terminal(name, command, size, load, options.seconds, interval_s, where, ours)
                )
    note("the smallest Textual program")
    hello = (sys.executable, str(HERE / "hello.py"))
    results.append(in_terminal("hello, world", hello, "80x24", "-", 1.0, None, plain, False))
    return results


def reading(options: argparse.Namespace) -> list[Result]:
    note("driver calls")
    demo = (*NVLTOP, "--demo", options.node)
    results = [Result("nvltop", "-", "training", driver_cost(demo, INTERVAL_S, environment(None)))]
    if options.library:
        real = driver_cost(NVLTOP, INTERVAL_S, environment(options.library))
        results.append(Result("nvltop on the library", "-", "training", real))
    return results


def commands(options: argparse.Namespace) -> list[Result]:
    results = []
    for flags in COMMANDS:
        note(" ".join(flags))
        demo = ("--demo", options.node) if "--once" in flags else ()
        took = duration((*NVLTOP, *demo, *flags), environment(None))
        results.append(Result("nvltop " + " ".join(flags), "-", "-", {"seconds": took}))
    return results


def main() -> None:
    options = arguments()
    if options.guard:
        from guard import guard

        sys.exit(guard(options.accept))
    if options.stages:
        from stages import stages

        print(stages(options.node, options.loads.split(",")[0]))
        return
    if options.memory:
        from memory import memory

        memory(
            options.node, options.loads.split(",")[0], [float(hours) for hours in options.memory.split(",")]
        )
        return
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, 4 Hz")
    if options.scale:
        from scale import measure_scale

        tables = [measure_scale()]
    else:
        tables = [programs(options), reading(options), commands(options)]
    before = [Result(**r) for r in json.loads(options.against.read_text())] if options.against else []
    for results in tables:
        print(f"\n{table(results, before)}")
    if options.save:
        saved = [asdict(result) for results in tables for result in results]
        options.save.write_text(json.dumps(saved, indent=1) + "\n")


if __name__ == "__main__":
    main()
