"""Items as bytes, in two encodings: short lines for recordings, and columns for the worker's pipe.

Both encode values in the same way, and decode untrusted input:

- `names`: what classes and fields are called; `schema`: the order of the fields, and the decoders that follow
  from it; `limits`; `codec`: an item as JSON values.
- `line_codec`: the lines of a recording, which contain only changes (`patch`, `counter_deltas`,
  `time_deltas`).
- `pipe_codec`: the bursts of the pipe, in which readings are columns (`data_columns`, `link_batches`).
"""
