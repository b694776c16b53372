"""The worker imports some modules of the standard library only when it uses them."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from nvltop.postponed import postpone
from nvltop.sampler import boot
for name in boot.POSTPONED:
    assert name not in sys.modules, name
postpone(boot.POSTPONED)
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
    # From Python 3.12 on, `dataclasses` uses `inspect` for each class; from 3.13 on, `pathlib` uses `glob`.
    since = {"inspect": (3, 12), "glob": (3, 13)}
    assert imported <= {name for name, version in since.items() if sys.version_info >= version}


def test_the_worker_imports_no_part_of_frames():
    program = (
        "import sys, nvltop.sampler.worker, nvltop.sampler.sampler, nvltop.model\n"
        "assert not {f'nvltop.model.{part}' for part in nvltop.model.PARTS_OF_FRAMES} & set(sys.modules)\n"
        "assert all(hasattr(nvltop.model, name) for name in nvltop.model.__all__)\n"
        "assert not hasattr(nvltop.model, 'importlib_')"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
