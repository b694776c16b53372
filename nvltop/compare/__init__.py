"""`nvltop --compare A B`: what differs between two states of a node, or between two nodes.

`command` reads both sides (files by `nvltop.comparison.source`) and compares them; `text` and `json` print
the result.
"""
