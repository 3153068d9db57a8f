"""What a column of the matrix is: one client protocol, read by its vendor's own SDK and by a strict checker.

A protocol adds one file to `columns/` with a tuple `COLUMNS`; nothing else knows protocols by name. `Wire` stands where
the network would be: the SDK's own request goes in, the bytes under test come out. Next: `lanes.py`, `test_matrix.py`.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct

from translation import registry
from translation.codec import Codec, OpenedRequest, WireContext
from translation.wire.ids import counting_ids

NOW_S = 1_763_900_000.75
MODEL = "gpt-5.5"


class Said(Struct, kw_only=True):
    """What a client understood, in words all protocols share. `end` is the protocol's own word.

    `calls` are (name, arguments): text where the protocol carries text, a parsed object where it carries objects.
    """

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, Any]] = []
    images: list[str] = []
    sources: list[str] = []
    proofs: list[str] = []
    end: str = ""
    usage: dict[str, int] | None = None


class Truth(Struct, kw_only=True, forbid_unknown_fields=True):
    """What a transcript says, written down by hand beside it (`said.json`); `error` when it says nothing whole.

    `text` has what was said before an error; `calls` are (kind, name, arguments text).
    """

    text: str = ""
    refusal: str = ""
    reasoning: list[str] = []
    calls: list[tuple[str, str, str]] = []
    images: list[str] = []
    partial_images: list[str] = []
    sources: list[str] = []
    """Addresses that the text cites."""
    searched: list[str] = []
    """Addresses that a search found."""
    proofs: list[str] = []
    end: str = "stop"
    end_detail: str = ""
    usage: dict[str, int] | None = None
    error: str = ""
    is_silent: bool = False
    """The error came before any output: clients get a status instead of a stream."""


class Reading(Struct):
    """An answer as the SDK holds it: `whole` for comparing both modes (ids left out), and what it says."""

    whole: Any
    said: Said


class Delivered(Struct):
    """What reached the client: the status (of an error answer, else 200), the headers that matter and the body."""

    status: int
    headers: dict[str, str]
    data: bytes


class Refused(Exception):
    """The SDK raised, or showed a failure; `status` is None inside a stream."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Wire:
    """The transport under an SDK: keeps the last request, answers with `status`, `headers` and `pieces`."""

    def __init__(self) -> None:
        self.method = self.target = ""
        self.headers: dict[str, str] = {}
        self.body = b""
        self.status = 500
        self.answer_headers: dict[str, str] = {}
        self.pieces: list[bytes] = [b"{}"]

    def transport(self, http: Any) -> Any:
        """Return a transport of `http`: the httpx module that the SDK is built on."""

        def handle(request: Any) -> Any:
            self.method, self.target = request.method, str(request.url)
            self.headers, self.body = dict(request.headers), request.read()
            return http.Response(self.status, headers=self.answer_headers, content=iter(self.pieces))

        return http.MockTransport(handle)

    def answers(self, status: int, headers: dict[str, str], data: bytes, *, seed: str = "") -> None:
        """Set the answer; `seed` cuts it into random pieces."""
        self.status, self.answer_headers = status, headers
        self.pieces = list(pieces(data, seed)) if seed else [data]


def pieces(data: bytes, seed: str) -> Iterator[bytes]:
    """Cut `data` into uneven pieces, the same for the same seed."""
    dice, at = random.Random(seed), 0
    while at < len(data):
        size = dice.choice([1, 2, 3, 5, 17, 64, 200, 1000])
        yield data[at : at + size]
        at += size


class Column(ABC):
    """One client protocol. `name` is unique among columns, `codec` the registry's name of the protocol."""

    name: str
    codec: str
    is_relayed = False
    requests = ""
    """The folder of `tests/golden/` that holds real requests of this protocol's clients."""
    essentials: frozenset[str] = frozenset()
    """Fields that may be missing or null nowhere: a request makes no sense without them."""
    data_keys: frozenset[str] = frozenset()
    """Fields whose values are the user's own (schemas, arguments, metadata): nothing inside them is the protocol's."""

    def __init__(self) -> None:
        self.wire = Wire()

    def known_fields(self) -> set[str]:
        """Return the names of all fields of requests, wherever they stand, as the SDK's types have them."""
        return set()

    @abstractmethod
    def ask(self, *, is_streamed: bool) -> Reading:
        """Let the SDK send its request over `wire` and read the answer. Raises: Refused."""

    @abstractmethod
    def check(self, data: bytes) -> None:
        """Insist on the grammar of a whole stream: framing, order, exactly one terminal. Raises: AssertionError."""

    @abstractmethod
    def expect(self, truth: Truth) -> Said:
        """Return what of `truth` this protocol can say."""

    @abstractmethod
    def ending(self, data: bytes) -> str:
        """Tell how a stream that passed `check` ended: "error" or "finish"."""

    def follow(self, body: dict[str, Any], answer: dict[str, Any], results: list[str], words: str) -> bool:
        """Continue a conversation in `body` as clients do: the collected answer, a result per call, and the user.

        `words` is "" when only results go back. False when the protocol has no conversations.
        """
        return False

    def refuses(self, truth: Truth) -> bool:
        """Say whether this protocol has only an error for `truth`."""
        return bool(truth.error)

    @property
    def spoken(self) -> Codec:
        """The codec under test."""
        return registry.get(self.codec)

    @cached_property
    def _requests(self) -> dict[bool, tuple[bytes, WireContext]]:
        found: dict[bool, tuple[bytes, WireContext]] = {}
        for is_streamed in (True, False):
            self.wire.answers(400, {"content-type": "application/json"}, b"{}")
            try:
                self.ask(is_streamed=is_streamed)
            except Refused:
                pass
            address = urlsplit(self.wire.target)
            model = address.path.partition("/models/")[2].rpartition(":")[0]
            context = WireContext(
                headers={name.lower(): value for name, value in self.wire.headers.items()},
                path=address.path,
                params={"model": model} if model else {},
                query=dict(parse_qsl(address.query)),
                now_s=NOW_S,
                clock=lambda: NOW_S + 2,
            )
            found[is_streamed] = (self.wire.body, context)
        return found

    def opened(self, *, is_streamed: bool) -> OpenedRequest:
        """Open the SDK's own request afresh; ids count from the beginning."""
        body, _ = self._requests[is_streamed]
        return self.open(body, is_streamed=is_streamed)

    def open(self, body: bytes, *, is_streamed: bool = False) -> OpenedRequest:
        """Open any body as if the SDK had sent it."""
        _, context = self._requests[is_streamed]
        fields = {name: getattr(context, name) for name in context.__struct_fields__}
        return self.spoken.open_request(body, WireContext(**{**fields, "ids": counting_ids()}))

    def __repr__(self) -> str:
        return self.name


def sse_frames(data: bytes) -> list[tuple[bytes, bytes]]:
    """Cut server-sent events into (name, data), insisting on one `data:` line per frame; comments are left out."""
    assert data.endswith(b"\n\n") or not data, "the last frame is cut"
    assert b"\r" not in data
    frames = []
    for frame in data.split(b"\n\n")[:-1]:
        if frame.startswith(b":"):
            assert b"\n" not in frame
            continue
        *names, payload = frame.split(b"\n")
        assert payload.startswith(b"data: ") and len(names) <= 1
        assert all(name.startswith(b"event: ") for name in names)
        frames.append((names[0].removeprefix(b"event: ") if names else b"", payload.removeprefix(b"data: ")))
    return frames


def told_by(body: Any) -> str:
    """Return the message of an error envelope as SDKs keep it: `{"error": {"message": …}}`, or only its inside."""
    inside = body.get("error", body) if isinstance(body, dict) else None
    return str(inside.get("message", "")) if isinstance(inside, dict) else ""


def fields_of(module: Any) -> set[str]:
    """Return the fields of all request types (`…Param`, `…Params`) of an SDK's module."""
    kinds = [kind for name, kind in vars(module).items() if "Param" in name and isinstance(kind, type)]
    return {name for kind in kinds for name in getattr(kind, "__annotations__", ())}
