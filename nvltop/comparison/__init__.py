"""What differs between two states of a node, or between two nodes; for `--compare` and the screen.

`source` reads a file into a `Side` (one report in the schema `nvltop/1`, and rates over time); `sides`
matches the GPUs of two sides; `differences` lists what differs and what of it matters; `baseline` compares
the links of a frame with an earlier moment or a file.
"""
