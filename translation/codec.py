"""The interfaces of a wire protocol. One file (or folder) of `protocols/` implements `Codec` and registers itself.

The flow decodes in two steps so that the relay lane pays only for what it needs: `open_request` parses once and
tells what routing must know; `decode_request` builds the whole IR, for the translate lane only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

from msgspec import Struct

from translation.errors import GatewayError
from translation.ir.events import Event, FinishReason
from translation.ir.request import GenerateRequest, Identity
from translation.ir.response import GenerateResponse
from translation.ir.usage import Usage
from translation.shared.token_count import Countable
from translation.wire.ids import Ids

Operation = Literal["generate", "count_tokens", "models", "model", "catalog", "model_info", "static"]


class Route(Struct, frozen=True):
    """A path a codec serves. `path` may hold one `{name}` segment; `operation` says what the flow does there."""

    method: str
    path: str
    operation: Operation = "generate"


class WireContext(Struct, frozen=True, kw_only=True):
    """What a codec may know of a request besides its body: lower-case headers, path parameters, query, time, ids.

    `clock` tells the present, for answers that say how long they took; None when nobody measures. `options` are the
    operator's own words for this dialect, by dotted key.
    """

    headers: Mapping[str, str] = {}
    path: str = ""
    params: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    now_s: float = 0.0
    ids: Ids = Ids()
    clock: Callable[[], float] | None = None
    options: Mapping[str, str] = {}


class OpenedRequest(Struct, kw_only=True):
    """A parsed body and what routing and admission need of it. `body` is the client's own JSON object."""

    model: str
    stream: bool
    body: dict[str, Any]
    identity: Identity
    context: WireContext
    previous_response_id: str | None = None
    operation: Literal["respond", "compact"] = "respond"
    """What the upstream is asked to do; some upstreams have an address for each."""
    media_type: str | None = None
    """What a stream of the answer is; None means the codec's usual `stream_media_type`."""
    answer: bytes | None = None
    """The whole answer of a request that needs no upstream, in the form the client asked for."""
    seals: tuple[str, ...] = ()
    """Digests of what in the request only the account that made it can read, the latest last; see `SealingTap`."""
    decoded: GenerateRequest | None = None
    """The IR, kept by a `decode_request` whose encoder needs it again; None until then."""
    agent: str = ""
    """Tells apart those who share the conversation that `identity` names: sub-agents of one session."""
    is_kept: bool = False
    """The client may name the answer's id later instead of sending the conversation again; see `ContinuingCodec`."""
    history_items: int = 0
    """How many items at the start of the input were put there by `ContinuingCodec.expand`."""


class ChatQuirks(Struct, frozen=True, kw_only=True):
    """Where the vendors of Chat Completions differ from each other; see `protocols/openai_chat/upstream_request.py`.

    `reasoning`: how thinking is asked for: `effort` is `reasoning_effort`, `object` is `reasoning: {effort}`, `switch`
    is `thinking: {type}`, `none` not at all. `returns_reasoning`: the vendor wants its `reasoning_content` back.
    `optional_keys`: which of `OPTIONAL_KEYS` the vendor knows; others refuse or ignore them.
    """

    developer_role: bool = False
    limit_key: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    reasoning: Literal["effort", "object", "switch", "none"] = "effort"
    returns_reasoning: bool = False
    optional_keys: tuple[str, ...] = ()


class Quirks(Struct, frozen=True, kw_only=True):
    """What an encoder may have to bend for an upstream. Flags say what the wire does, never who it is.

    `subset`: the upstream refuses sampling knobs, limits, storage and user fields (they are dropped and listed).
    `efforts`: reasoning efforts the model knows, lowest first; empty means any. `max_name_chars`: longest tool name.
    `custom_tools`: the upstream knows tools with free text input; where it does not, they travel as functions.
    """

    subset: bool = False
    efforts: tuple[str, ...] = ()
    max_name_chars: int = 64
    max_id_chars: int = 64
    hosted_tools: tuple[str, ...] = ("web_search", "image_generation")
    service_tiers: tuple[str, ...] = ("priority", "flex")
    custom_tools: bool = True
    chat: ChatQuirks = ChatQuirks()


class RelayTarget(Struct, frozen=True, kw_only=True):
    """What the relay lane writes into the client's own body before it leaves."""

    model: str
    prompt_cache_key: str | None = None
    effort: str | None = None
    service_tier: str | None = None
    quirks: Quirks = Quirks()
    drops_reasoning: bool = False
    """Leave reasoning items out: the upstream refused their proofs (spec/translation.md §3.4)."""


class WireError(Struct, frozen=True):
    """An error as the client's dialect writes it."""

    status: int
    headers: dict[str, str]
    body: bytes


class WireAnswer(Struct, frozen=True):
    """A whole answer that a codec gives by itself."""

    status: int
    headers: dict[str, str]
    body: bytes


class ModelInfo(Struct, frozen=True, kw_only=True):
    """What a model listing shows."""

    id: str
    display_name: str = ""
    description: str = ""
    owned_by: str = ""
    created: int = 0
    context_window: int | None = None
    max_context_window: int | None = None
    max_output_tokens: int | None = None
    efforts: tuple[str, ...] = ()
    default_effort: str | None = None
    input_modalities: tuple[str, ...] = ("text",)
    service_tiers: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    is_hidden: bool = False


class StreamDecoder(Protocol):
    """Upstream bytes in, legal events out. `feed` per network chunk, `finish` at end of file.

    `asides`: the latest data, by event name, of what the upstream says about the account inside the stream; bounded.
    """

    asides: Mapping[str, bytes]

    def feed(self, chunk: bytes) -> list[Event]: ...

    def finish(self) -> list[Event]: ...


class StreamEncoder(Protocol):
    """Legal events in, client bytes out; all events of a chunk in one call, so that they leave in one write."""

    def encode(self, events: Sequence[Event]) -> bytes: ...

    def heartbeat(self) -> bytes:
        """Bytes that keep an idle client connection alive; may be empty when none is legal yet."""
        ...


class Tap(Protocol):
    """The relay lane's reader: passes a stream through, edits what must not reach the client, learns the outcome.

    After the end: `usage`, `finish_reason`, `error`, `response_id`, `done`, and `answer`, the whole answer as the
    client got it, where the codec is a `ContinuingCodec`. `has_output` turns true with the first output event: the
    commit point.
    `feed` returns what the client gets of this chunk. `asides`: see `StreamDecoder`.
    """

    usage: Usage | None
    finish_reason: FinishReason | None
    error: GatewayError | None
    response_id: str
    done: bool
    has_output: bool

    @property
    def asides(self) -> Mapping[str, bytes]: ...

    @property
    def answer(self) -> Mapping[str, Any] | None: ...

    def feed(self, chunk: bytes) -> bytes: ...

    def finish(self) -> bytes: ...

    def fail(self, error: GatewayError) -> bytes:
        """End the stream with `error` in the client's dialect; for failures the upstream could not put in words."""
        ...

    def heartbeat(self) -> bytes: ...


class WholeTap(Tap, Protocol):
    """A tap that can also tell the whole answer at once."""

    def collected(self) -> bytes:
        """The whole answer as the protocol's collected body; for clients that did not ask for a stream.

        Raises: the GatewayError that ended the stream.
        """
        ...


@runtime_checkable
class SealingTap(Protocol):
    """What a tap has besides `Tap` where answers may hold what only the account that gave them can read again."""

    def seals(self) -> tuple[str, ...]:
        """Digests of that, after the end."""
        ...


@runtime_checkable
class TokenCounter(Protocol):
    """What a codec with a `count_tokens` route has besides `Codec`. No upstream is asked."""

    def countable(self, opened: OpenedRequest) -> Countable:
        """Return what of the request counts. Raises what `decode_request` raises."""
        ...

    def encode_count(self, tokens: int) -> bytes:
        """Answer the route."""
        ...


@runtime_checkable
class ErrorSoftener(Protocol):
    """What a codec has besides `Codec` when some clients act on an answer, but not on the error it stands for."""

    def instead_of(self, error: GatewayError, opened: OpenedRequest) -> list[Event] | None:
        """Return the events of an answer to give instead of `error`; None to tell the error."""
        ...


@runtime_checkable
class AnsweringCodec(Protocol):
    """What a codec with `static` routes has besides `Codec`: it answers them from the catalogue alone."""

    def answer(self, body: bytes, context: WireContext, models: Sequence[ModelInfo]) -> WireAnswer:
        """Answer the call at `context.path`; `models` are those the caller may use. Raises: GatewayError."""
        ...


@runtime_checkable
class ContinuingCodec(Protocol):
    """What a codec has besides `Codec` whose clients may name an earlier answer instead of sending everything again."""

    def expand(self, opened: OpenedRequest, history: Sequence[Any]) -> OpenedRequest:
        """Return the request that a client with the whole conversation would have sent: `history`, then its input."""
        ...

    def exchange(
        self, opened: OpenedRequest, answer: Mapping[str, Any], *, is_whole: bool, drops_reasoning: bool
    ) -> list[Any]:
        """Return the items that a later request continues from: this request's own, then the answer's.

        With `is_whole` also those of `expand`; with `drops_reasoning` without the reasoning that was not sent.
        """
        ...


@runtime_checkable
class KeepsAnswer(Protocol):
    """A `StreamEncoder` that keeps the whole answer it wrote, once it has ended."""

    @property
    def final(self) -> Mapping[str, Any] | None: ...


class Codec(Protocol):
    """One wire protocol as clients speak it: their requests in, our answers out."""

    name: str
    routes: tuple[Route, ...]
    stream_media_type: str

    @property
    def listing_header(self) -> str | None:
        """A lower-case header that marks this dialect's clients where several share a path (`GET /v1/models`)."""
        ...

    def open_request(self, body: bytes, context: WireContext) -> OpenedRequest: ...

    def decode_request(self, opened: OpenedRequest) -> GenerateRequest: ...

    def encoder(self, opened: OpenedRequest) -> StreamEncoder: ...

    def encode_response(self, response: GenerateResponse, opened: OpenedRequest) -> bytes: ...

    def encode_error(self, error: GatewayError) -> WireError: ...

    def encode_models(self, models: Sequence[ModelInfo], context: WireContext) -> bytes: ...

    def encode_model(self, model: ModelInfo, context: WireContext) -> bytes: ...


@runtime_checkable
class UpstreamCodec(Codec, Protocol):
    """A codec whose protocol upstreams speak, too: requests out, answers in, and the relay of one wire."""

    def encode_request(self, request: GenerateRequest, target: RelayTarget) -> bytes: ...

    def decoder(self) -> StreamDecoder: ...

    def needs_translation(self, opened: OpenedRequest, quirks: Quirks) -> str | None:
        """Return why the client's own body cannot be relayed, or None when it can."""
        ...

    def relay_request(self, opened: OpenedRequest, target: RelayTarget) -> bytes: ...

    def tap(self, opened: OpenedRequest) -> WholeTap: ...
