"""`nvltop --run -- COMMAND`: runs a command and prints what it did to the links, as `perf stat` does.

`child` starts the command and forwards signals; `summary` adds up what the frames show meanwhile; `text` and
`json` print it; `command` joins them.
"""
