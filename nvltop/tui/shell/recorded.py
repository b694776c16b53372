"""What a run on a recording has and a live run lacks: a playback, or a stream that may end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nvltop.model import ItemSource, RecordedSource

if TYPE_CHECKING:
    from nvltop.record.stream_source import StreamSource
    from nvltop.tui.shell.playback import Playback


def parts_of(source: ItemSource) -> tuple[Playback | None, StreamSource | None]:
    """Return the playback of a file, and the stream; both are None for a live source.

    A live run imports no module that reads recordings: they take 0.4 MB and a fiftieth of the start.
    """
    if not isinstance(source, RecordedSource):
        return None, None
    from nvltop.record.replay import ReplaySource
    from nvltop.record.stream_source import StreamSource
    from nvltop.tui.shell.playback import Playback

    return (
        Playback(source) if isinstance(source, ReplaySource) else None,
        source if isinstance(source, StreamSource) else None,
    )
