"""The request every protocol is decoded to: a flat, ordered item list plus what several protocols share.

A field lives here only when two protocols share the concept; anything else travels in `extensions[codec name]` or as
an opaque item that only its origin encodes again. Turn-based protocols are derived from the items by one grouping
function (`turns`). Values are frozen; passes return changed copies (`msgspec.structs.replace`).
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from translation.ir.events import Proof, ToolKind

Role = Literal["user", "assistant", "developer"]


class TextPart(Struct, frozen=True, tag="text"):
    """Plain text."""

    text: str


class ImagePart(Struct, frozen=True, tag="image"):
    """A picture by http(s) or data URL, or by an upstream file id."""

    url: str | None = None
    file_id: str | None = None
    detail: str | None = None


class FilePart(Struct, frozen=True, tag="file"):
    """A document: `data` is a data URL, `url` an address, `file_id` an upstream id; exactly one is set."""

    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    filename: str | None = None


class RefusalPart(Struct, frozen=True, tag="refusal"):
    """What an assistant refused with."""

    text: str


class OpaquePart(Struct, frozen=True, tag="opaque"):
    """A part only the codec named in `origin` encodes again."""

    origin: str
    data: dict[str, Any]


Part = TextPart | ImagePart | FilePart | RefusalPart | OpaquePart


class Message(Struct, frozen=True, tag="message"):
    """Something said. Developer messages in place are instructions given later in the conversation."""

    role: Role
    parts: tuple[Part, ...]
    phase: str | None = None
    id: str | None = None


class Reasoning(Struct, frozen=True, kw_only=True, tag="reasoning"):
    """Thinking that preceded the following assistant item; stands right before it."""

    summary: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    proof: Proof | None = None
    id: str | None = None


class ToolCall(Struct, frozen=True, kw_only=True, tag="tool_call"):
    """The model calls a tool. `arguments` is JSON text for functions and free text for custom tools, never parsed."""

    call_id: str
    name: str
    arguments: str
    kind: ToolKind = "function"
    id: str | None = None


class ToolResult(Struct, frozen=True, kw_only=True, tag="tool_result"):
    """What a tool answered. One text part is sent as a string, anything else as a list of parts."""

    call_id: str
    parts: tuple[Part, ...]
    kind: ToolKind = "function"
    is_error: bool = False
    name: str | None = None


class OpaqueItem(Struct, frozen=True, tag="opaque_item"):
    """An item only the codec named in `origin` encodes again, byte for byte the same fields."""

    origin: str
    data: dict[str, Any]


Item = Message | Reasoning | ToolCall | ToolResult | OpaqueItem


class FunctionTool(Struct, frozen=True, kw_only=True, tag="function"):
    """A tool with JSON arguments. `position` is the client's own index, for error messages."""

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    position: int = 0


class CustomTool(Struct, frozen=True, kw_only=True, tag="custom"):
    """A tool with free text input; `format` is the vendor's grammar object, passed as it is."""

    name: str
    description: str | None = None
    format: dict[str, Any] | None = None


class HostedTool(Struct, frozen=True, tag="hosted"):
    """A tool the upstream runs itself: `web_search`, `image_generation`; `options` are all fields but `type`."""

    name: str
    options: dict[str, Any]


class OpaqueTool(Struct, frozen=True, tag="opaque_tool"):
    """A tool declaration only its origin encodes again."""

    origin: str
    data: dict[str, Any]


Tool = FunctionTool | CustomTool | HostedTool | OpaqueTool


class ToolChoice(Struct, frozen=True, kw_only=True):
    """How the model may use tools.

    `named` sets `name` and `kind`; `hosted` sets `name` to the hosted type; `allowed` sets `allowed` and `required`.
    """

    mode: Literal["auto", "none", "required", "named", "hosted", "allowed"]
    name: str = ""
    kind: ToolKind = "function"
    allowed: tuple[str, ...] = ()
    required: bool = False


class ReasoningOptions(Struct, frozen=True, kw_only=True):
    """How much to think and what to show. `summary` None asks for no summaries."""

    effort: str | None = None
    budget_tokens: int | None = None
    summary: str | None = None


class OutputFormat(Struct, frozen=True, kw_only=True):
    """Structured output. `strict` None means the protocol's default (not strict).

    `json_schema` asks for an object of `schema`, `json_value` for any JSON of it, `word` for one bare word of its enum;
    `passes/wrapping.py` makes objects of the last two.
    """

    kind: Literal["json_object", "json_schema", "json_value", "word"]
    name: str = ""
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class Sampling(Struct, frozen=True, kw_only=True):
    """Knobs. Those an upstream cannot express are dropped and listed in `GenerateRequest.dropped`."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    stop: tuple[str, ...] = ()


class Identity(Struct, frozen=True, kw_only=True):
    """Who and which conversation, as far as the client said so. Never sent upstream as it is.

    `anchor` stands in when the client names no conversation: what stays the same over its turns.
    """

    prompt_cache_key: str | None = None
    session: str | None = None
    user: str | None = None
    anchor: str | None = None


class GenerateRequest(Struct, frozen=True, kw_only=True):
    """One call for an answer, free of any protocol."""

    model: str
    items: tuple[Item, ...]
    instructions: tuple[str, ...] = ()
    tools: tuple[Tool, ...] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    sampling: Sampling = Sampling()
    max_output_tokens: int | None = None
    reasoning: ReasoningOptions | None = None
    output_format: OutputFormat | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    identity: Identity = Identity()
    previous_response_id: str | None = None
    stream: bool = False
    extensions: dict[str, dict[str, Any]] = {}
    dropped: tuple[str, ...] = ()
