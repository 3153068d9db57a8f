"""One await for everything that has arrived: what makes a burst of events cost one write. For streams of any transport.

Read next: `pyreqwest_transport.py` and `socket_pool.py`, whose streams are read this way.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Protocol

COALESCE_BYTES = 256 * 1024
"""No more than this is gathered into one read, so that a fast upstream cannot outrun back-pressure."""


class Arriving(Protocol):
    """What a stream offers `Arrived`.

    `reader.read_chunk()` is a coroutine of the next chunk, None at the end. `step` is a started read and `waiting_on`
    the future it waits for, left over from an earlier one; `broken` is the failure that an earlier read met behind the
    bytes it returned. `failures` are the exceptions of a broken connection, `named` gives them their type.
    """

    reader: Any
    step: Any
    waiting_on: Any
    broken: Exception | None
    is_at_end: bool

    @property
    def failures(self) -> type[Exception]: ...

    def named(self, failure: Exception) -> Exception: ...


class Arrived:
    """Awaitable: one chunk; when it was there without waiting, every further chunk that is there, too.

    A stream at a model's pace is waited for, and its chunk returned at once. A burst is met by the read that needs no
    waiting: such reads go on until one would wait, and that one is kept for the next `Arrived`. One generator and no
    coroutine, and the wait itself is delegated: this runs for every chunk of every stream.
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: Arriving) -> None:
        self._stream = stream

    def __await__(self) -> Generator[Any, Any, bytes]:  # noqa: C901 (split, it costs a generator for every chunk)
        stream = self._stream
        if stream.is_at_end:
            return b""
        if stream.broken is not None:
            raise stream.named(stream.broken) from None
        step, waiting_on = stream.step, stream.waiting_on
        try:
            if step is None:
                step = stream.reader.read_chunk().__await__()
                waiting_on = next(step)
        except StopIteration as arrived:  # how a step hands over its value
            return _gather(stream, arrived.value)
        except stream.failures as error:
            raise stream.named(error) from None
        stream.step = step  # closed with the stream, should this be cancelled
        try:
            while True:
                try:
                    yield waiting_on
                except Exception as failure:  # what the future holds is the read's to understand
                    waiting_on = step.throw(failure)
                else:
                    waiting_on = next(step)
        except StopIteration as arrived:
            chunk = arrived.value
        except stream.failures as error:
            raise stream.named(error) from None
        stream.step = None
        if chunk is None:
            stream.is_at_end = True
            return b""
        return bytes(chunk)


def _gather(stream: Arriving, chunk: Any) -> bytes:
    """Return `chunk` and all that can be read without waiting; None is the end of the body."""
    pieces: list[bytes] = []
    size = 0
    try:
        while chunk is not None:
            pieces.append(bytes(chunk))
            size += len(pieces[-1])
            if size >= COALESCE_BYTES:
                break
            step = stream.reader.read_chunk().__await__()
            try:
                stream.waiting_on = next(step)
            except StopIteration as arrived:
                chunk = arrived.value
            else:
                stream.step = step
                break
        else:
            stream.is_at_end = True
    except stream.failures as error:
        if not pieces:
            raise stream.named(error) from None
        stream.broken = error  # what arrived before it may hold the end of the answer
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
