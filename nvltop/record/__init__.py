"""Recordings: the items of a run, redacted, in a file that replays as the run looked.

`writer.RecordingWriter` writes, `reader.open_recording` reads, `replay.Replay` plays a recording in place of the
worker, `timeline.scan` says how long it is and what happened when, `redact.Redactor` takes out names.
"""
