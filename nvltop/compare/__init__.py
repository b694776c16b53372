"""`nvltop --compare A B`: what differs between two states of a node, or between two nodes.

Data flow: `inputs` reads each side into a `Side` (one report in the schema `nvltop/1`, and rates over time);
`sides` matches the GPUs, links and NICs of the two; `differences` lists what differs and what of it
matters; `text` and `json` print it.
"""
