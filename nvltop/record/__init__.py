"""Recordings: the items of a run, redacted, in a file that can be replayed.

`writer.RecordingWriter` writes a file and `reader.open_recording` reads one; `replay.ReplaySource` replays it
in place of the worker, `timeline.scan` finds its length and its marks, `redact.Redactor` removes names.
"""
