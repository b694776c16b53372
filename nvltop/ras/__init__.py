"""NCCL's own view of a job, on request: its RAS service reports the ranks that are behind.

One query makes every process of the job answer, on all its nodes, so nothing here runs in the background.
`listeners` finds the port in /proc, `nccl_version` reads the version that a process uses, `client` sends the
query, `answer` parses the reply, `diagnosis` says who is behind, `command` is `nvltop --ras`.

Protocol and JSON: NCCL user guide, "RAS" (2.24 and later; JSON since 2.28.7).
"""
