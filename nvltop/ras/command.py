"""`nvltop --ras [ADDR:PORT]`: ask NCCL which rank is behind, after a confirmation."""

from __future__ import annotations

import json
import sys
import time
from typing import Final

from nvltop.frozen import frozen
from nvltop.ras.answer import RasReport
from nvltop.ras.diagnosis import answered_for, diagnose
from nvltop.ras.inquiry import WARNING, RasUsageError, find_target
from nvltop.ras.json import as_object
from nvltop.ras.text import OTHER_JOB, to_lines

NOTHING: Final = 0
FOUND: Final = 1
REPEAT_S: Final = 10.0
"""Default time between two queries, seconds."""


@frozen
class RasOptions:
    """What the command line says."""

    address: str = ""
    """`ADDR:PORT`; empty to search for the service."""
    confirmed: bool = False
    force: bool = False
    """Whether to query whatever the version of NCCL."""
    times: int = 1
    repeat_s: float = REPEAT_S


def run(options: RasOptions, as_json: bool) -> int:
    """Query the service, print what it reports, and return the exit code.

    Raises `RasUsageError` for a request that cannot be made, and `RasError` without an answer.
    """
    target = find_target(options.address, force=options.force)
    _confirm(options.confirmed)
    report = target.ask()
    earlier: RasReport | None = None
    for _ in range(options.times - 1):
        time.sleep(options.repeat_s)
        earlier, report = report, target.ask()
    diagnoses = diagnose(report, earlier)
    if as_json:
        print(json.dumps(as_object(report, diagnoses, str(target))))
    else:
        lines = to_lines(report, diagnoses, str(target))
        if target.service and not answered_for(report, [target.service.pid]):
            lines.append(OTHER_JOB)
        print("\n".join(lines))
    return FOUND if any(d.conspicuous for d in diagnoses) else NOTHING


def _confirm(confirmed: bool) -> None:
    """Ask the user for a confirmation, unless it was given with `--yes`."""
    if confirmed:
        return
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        raise RasUsageError(f"{WARNING} Without a terminal, confirm with --yes")
    print(f"{WARNING}\nAsk it? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise RasUsageError("not asked")
