"""A server that speaks the protocol of NCCL's RAS service, rightly or wrongly."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass
class RasServer:
    """Answers each connection with the next of `answers`; the last one is repeated."""

    answers: list[str | bytes]
    json: bool = True
    greeting: bytes = b"SERVER PROTOCOL 2\n"
    delay_s: float = 0.0
    endless: bool = False
    received: list[list[str]] = field(default_factory=list)
    port: int = 0

    def serve(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        commands: list[str] = []
        self.received.append(commands)
        lines = connection.makefile("rb")
        for line in lines:
            commands.append(line.decode().strip())
            match line.decode().strip().upper().split():
                case ["CLIENT", "PROTOCOL", _]:
                    connection.sendall(self.greeting)
                case ["SET", "FORMAT", "JSON"]:
                    connection.sendall(b"OK\n" if self.json else b"ERROR: Unknown command\n")
                case ["VERBOSE", "STATUS"]:
                    time.sleep(self.delay_s)
                    answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                    data = answer.encode() if isinstance(answer, str) else answer
                    connection.sendall(data)
                    while self.endless:
                        connection.sendall(b"x" * 65536)
                    return
                case _:
                    connection.sendall(b"ERROR: Unknown command\n")


@contextlib.contextmanager
def serving(*answers: str | bytes, **how) -> Iterator[RasServer]:
    """Serve on a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = RasServer(list(answers), port=listening.getsockname()[1], **how)
        thread = threading.Thread(target=server.serve, args=(listening,), daemon=True)
        thread.start()
        yield server
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def rank(number: int, count: int, host: str = "172.16.64.210", **status: object) -> dict:
    return {
        "rank": number,
        "host": host,
        "pid": 483000 + number,
        "cuda_dev": number % 8,
        "nvml_dev": number % 8,
        "status": {
            "init_state": 0,
            "async_error": 0,
            "finalize_called": False,
            "destroy_flag": False,
            "abort_flag": False,
            **status,
        },
        "collective_counts": {"Broadcast": 4, "AllReduce": count},
    }


def missing(number: int, dead: bool = False) -> dict:
    found = rank(number, 0)
    found["status"] = {"unresponsive": not dead, "considered_dead": dead}
    del found["collective_counts"]
    return found


def status(*communicators: tuple[list[dict], list[dict]], timeouts: int = 0) -> str:
    """Return the JSON of a job with communicators of (ranks, missing ranks)."""
    return json.dumps(
        {
            "nccl_version": "2.29.1",
            "timestamp": "2026-11-28 13:06:53",
            "communicators_count": len(communicators),
            "communicators": [
                {
                    "hash": f"0xae94423cfbb2ef{i:02x}",
                    "size": len(ranks) + len(gone),
                    "ranks_count": len(ranks),
                    "missing_ranks_count": len(gone),
                    "ranks": ranks,
                    "missing_ranks": gone,
                }
                for i, (ranks, gone) in enumerate(communicators)
            ],
            "ras": {"collection_time_sec": 0.001, "timeouts_count": timeouts},
        },
        indent=2,
    )


def healthy(count: int = 6650, ranks: int = 8) -> str:
    return status(([rank(n, count) for n in range(ranks)], []))


Changer = Callable[[str], str]

TEXT_MISMATCH = """
Job summary
===========

  Nodes  Processes         GPUs  Processes     GPUs
(total)   per node  per process    (total)  (total)
      4          8            1         32       32

Communicators... (0.00s)
=============

Group     Comms     Nodes     Ranks     Ranks     Ranks    Status  Errors
    #  in group  per comm  per node  per comm  in group
    0         1         4         8        32        32   RUNNING  MISMATCH
    1         8         1         4         4        32   RUNNING  OK

Warnings
========

#0-0 (27a079b828ff1a75) MISMATCH
  Communicator ranks have different collective operation counts
  31 ranks have launched up to AllReduce operation 6650
  1 rank has launched up to AllReduce operation 6649
  Rank 5 -- GPU 5 managed by process 483077 on node 172.16.64.210
"""
TEXT_INCOMPLETE = """
Communicators... (2.05s)
=============

Group     Comms     Nodes     Ranks     Ranks     Ranks    Status  Errors
    #  in group  per comm  per node  per comm  in group
    0         1         4       7-8        32        32   RUNNING  INCOMPLETE

Errors
======

INCOMPLETE
  Missing communicator data from 1 job process
  Process 3487984 on node 172.16.64.213 managing GPU 5

#0-0 (cf264af53edbe986) INCOMPLETE
  Missing communicator data from 1 rank
  The missing rank: 21

Warnings
========

TIMEOUT
  Encountered 2 communication timeouts while gathering communicator data
"""
