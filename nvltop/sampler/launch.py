"""Start the worker process with this process's module search path, never the current folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import IO, Final

from nvltop.importpath import trusted_entries

BOOT: Final = "import sys; sys.path[:] = sys.argv[2:]; from nvltop.sampler.boot import main; main()"
"""The program of the worker's interpreter. `python -m` would put the current folder first on `sys.path`, and
would not find packages that a zipapp or a wrapper script has added to the search path of this process."""
FLAGS: Final = (
    ("-I", "isolated"),
    ("-E", "ignore_environment"),
    ("-s", "no_user_site"),
    ("-S", "no_site"),
)
"""Interpreter options that restrict the module search path, and their names in `sys.flags`."""


def start_worker(config: str, stderr: int | IO[bytes], pass_fds: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start the worker with `config` as its argument; raise `OSError` if the system refuses a new process.

    The worker runs in `/`, so that neither Python nor the dynamic linker (an empty entry of
    `LD_LIBRARY_PATH`) loads anything from the current folder.
    """
    options = [option for option, name in FLAGS if getattr(sys.flags, name)]
    return subprocess.Popen(
        [os.path.abspath(sys.executable), *options, "-c", BOOT, config, *trusted_entries(sys.path)],
        cwd="/",
        env=worker_environment(os.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,  # stub libraries print there
        stderr=stderr,
        pass_fds=pass_fds,
        start_new_session=True,
    )


def worker_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the worker: `environ` without relative folders in `PYTHONPATH`."""
    result = dict(environ)
    folders = result.pop("PYTHONPATH", None)
    path = os.pathsep.join(trusted_entries(folders.split(os.pathsep))) if folders else ""
    return {**result, "PYTHONPATH": path} if path else result
