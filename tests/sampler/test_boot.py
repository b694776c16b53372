"""The worker imports some modules of the standard library only when it uses them."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from nvltop.sampler import boot
for name in boot.POSTPONED:
    assert name not in sys.modules, name
    sys.modules[name] = boot.postponed(name)
import nvltop.sampler.worker, nvltop.sampler.sampler
print(*(name for name in boot.POSTPONED if type(sys.modules[name].__spec__) is type(sys.__spec__)))
import datetime, tempfile
assert datetime.timedelta(1) and tempfile.gettempdir and sys.modules["tempfile"].__spec__
"""


def test_what_the_worker_does_not_use_is_not_imported():
    run = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{PROGRAM}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    imported = set(run.stdout.split())
    # From Python 3.12 on, `dataclasses` uses `inspect` for each class.
    assert imported <= ({"inspect"} if sys.version_info >= (3, 12) else set())
