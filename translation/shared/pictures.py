"""What stands for a picture in answers of protocols that have no place for one."""

from __future__ import annotations

from translation.ir import events as ev


def picture_note(picture: ev.ImageDelta) -> str:
    """Return a sentence that says what the client cannot be shown."""
    return f"[The model made a picture ({picture.media_type}), which this API cannot show.]"
