"""Starts the worker process, from the same folders as this process and never from the current one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Final

from nvltop.importpath import trusted_entries

BOOT: Final = "import sys; sys.path[:] = sys.argv[2:]; from nvltop.sampler.worker import main; main()"
"""What the worker's interpreter runs. `python -m` would put the current folder first on `sys.path`, and could
not see packages that a zipapp or a wrapper script has added to this process's."""
FLAGS: Final = (
    ("-I", "isolated"),
    ("-E", "ignore_environment"),
    ("-s", "no_user_site"),
    ("-S", "no_site"),
)
"""Options of this interpreter that say where code may come from, and their names in `sys.flags`."""


def start_worker(job: str, stderr: int | IO[bytes], pass_fds: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start the worker with its job as text; raise `OSError` if the system refuses a new process.

    Its folder is `/`, so that neither Python nor the dynamic linker (an empty entry of `LD_LIBRARY_PATH`)
    takes anything from the current one.
    """
    options = [option for option, name in FLAGS if getattr(sys.flags, name)]
    return subprocess.Popen(
        [os.path.abspath(sys.executable), *options, "-c", BOOT, job, *trusted_entries(sys.path)],
        cwd="/",
        env=worker_environment(os.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,  # stub libraries print there
        stderr=stderr,
        pass_fds=pass_fds,
        start_new_session=True,
    )


def worker_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the worker: ours, with no folder of code relative to the current one."""
    given = dict(environ)
    folders = given.pop("PYTHONPATH", None)
    path = os.pathsep.join(trusted_entries(folders.split(os.pathsep))) if folders else ""
    return {**given, "PYTHONPATH": path} if path else given
