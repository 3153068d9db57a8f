"""Server-Sent Events, both directions. `SSESplitter` cuts bytes into frames however the chunks fall.

Line ends are LF, CRLF and CR only; U+2028 is text. Continuation lines without `data:` are kept, because one backend
pretty-prints its errors. Linear: a boundary is searched only in new bytes, pieces are joined once per frame.
Facts: spec/wire.md §4.1, spec/translation.md §1.3.
"""

from __future__ import annotations

from translation.errors import ProtocolViolation

MAX_FRAME_BYTES = 64 * 1024 * 1024
"""One 4K picture as base64 is 15 MB; anything near this limit is not an event."""


class SSESplitter:
    """`feed` returns complete frames as (event name or b"", data); `finish` what was left without a blank line."""

    __slots__ = ("_held_cr", "_pending", "_pending_bytes", "_seen_any")

    def __init__(self) -> None:
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._held_cr = False
        self._seen_any = False

    def feed(self, chunk: bytes) -> list[tuple[bytes, bytes]]:
        """Cut `chunk` and what was pending into frames.

        Raises: ProtocolViolation when a frame exceeds MAX_FRAME_BYTES.
        """
        frames: list[tuple[bytes, bytes]] = []
        for block in self.cut(chunk):
            frame = parse_frame(block)
            if frame is not None:
                frames.append(frame)
        return frames

    def cut(self, chunk: bytes) -> list[bytes]:
        """Cut into blocks as they came, without their blank line; for those who pass them on.

        Raises: ProtocolViolation as `feed` does.
        """
        if self._held_cr or b"\r" in chunk:
            chunk = self._unify_line_ends(chunk)
        if not self._seen_any:
            self._seen_any = True
            if chunk.startswith(b"\xef\xbb\xbf"):
                chunk = chunk[3:]
        if self._pending:
            last = self._pending[-1]
            if not (last.endswith(b"\n") and chunk.startswith(b"\n")) and b"\n\n" not in chunk:
                self._hold(chunk)
                return []
            self._pending.append(chunk)
            chunk = b"".join(self._pending)
            self._pending.clear()
            self._pending_bytes = 0
        blocks = chunk.split(b"\n\n")
        rest = blocks.pop()
        if rest:
            self._hold(rest)
        return blocks

    @property
    def has_pending(self) -> bool:
        """Part of a frame is held back."""
        return bool(self._pending) or self._held_cr

    def rest(self) -> bytes:
        """Return what is held back, and hold it no more."""
        block = b"".join(self._pending)
        self._pending.clear()
        self._pending_bytes = 0
        return block

    def finish(self) -> list[tuple[bytes, bytes]]:
        """Return the trailing frame of a stream that ended without a blank line."""
        block = self.rest()
        frame = parse_frame(block) if block.strip() else None
        return [frame] if frame is not None else []

    def _hold(self, piece: bytes) -> None:
        if not piece:
            return
        self._pending.append(piece)
        self._pending_bytes += len(piece)
        if self._pending_bytes > MAX_FRAME_BYTES:
            raise ProtocolViolation("The upstream sent an event larger than 64 MiB.")

    def _unify_line_ends(self, chunk: bytes) -> bytes:
        if self._held_cr:
            chunk = b"\r" + chunk
            self._held_cr = False
        if chunk.endswith(b"\r"):
            self._held_cr = True
            chunk = chunk[:-1]
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def parse_frame(block: bytes) -> tuple[bytes, bytes] | None:
    """Return (event name, data) of one block with unified line ends; None for comments and empty blocks."""
    if block.startswith(b"event: "):
        name, _, rest = block[7:].partition(b"\n")
        if rest.startswith(b"data: ") and rest.find(b"\n") < 0:
            return name, rest[6:]
    elif block.startswith(b"data: ") and block.find(b"\n") < 0:
        return b"", block[6:]
    return _parse_odd_frame(block)


def _parse_odd_frame(block: bytes) -> tuple[bytes, bytes] | None:
    name = b""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        if line.startswith(b":") or not line:
            continue
        field, colon, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event" and colon:
            name = value
        elif field == b"data" and colon:
            data.append(value)
        elif field in (b"id", b"retry") and colon:
            continue
        else:
            data.append(line)  # a continuation line of pretty-printed JSON
    return (name, b"\n".join(data)) if data or name else None


def frame(name: bytes, data: bytes) -> bytes:
    """Write one frame; `name` may be empty."""
    return b"event: %b\ndata: %b\n\n" % (name, data) if name else b"data: %b\n\n" % data


COMMENT_PING = b": ping\n\n"
"""The heartbeat of OpenAI and Gemini streams (spec/translation.md §13)."""

DONE = b"data: [DONE]\n\n"
