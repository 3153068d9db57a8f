"""A body of /api/chat or /api/generate → the IR: everything around the messages.

Both stream unless told otherwise. Knobs of a wrong type are ignored, what has no place upstream is listed in
`dropped`. Facts: spec/translation.md §4.7-4.9, §9. Reference:
https://github.com/ollama/ollama/blob/main/docs/api.md (checked 2026-11-23).
"""

from __future__ import annotations

from typing import Any

from translation.codec import OpenedRequest, WireContext
from translation.errors import InvalidRequest
from translation.ir.request import (
    FunctionTool,
    GenerateRequest,
    Identity,
    Message,
    OutputFormat,
    ReasoningOptions,
    Sampling,
    TextPart,
)
from translation.passes.schemas import close_objects, strict_violations
from translation.protocols.ollama.content import read_images, read_text
from translation.protocols.ollama.messages import Transcript, list_of
from translation.protocols.ollama.names import plain_model, written_model
from translation.protocols.ollama.shapes import Shape, load_answer
from translation.shared.anchors import conversation_anchor
from translation.shared.fields import first, nested, number, whole, word
from translation.shared.infill import infill_instruction
from translation.wire import jsonio
from translation.wire.jsontypes import is_array, is_object

SCHEMA_NAME = "ollama_schema"
THINKING_EFFORT = "medium"
"""What `think: true` asks for; levels are asked for by name."""
_SWITCHES = {"true": THINKING_EFFORT, "false": "none"}
_OPTIONS = frozenset(
    {"temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty", "stop", "num_predict"}
)
_DROPPED = (
    "context", "height", "keep_alive", "logprobs", "raw", "shift", "steps", "template", "tool_choice", "top_logprobs",
    "truncate", "width",
)  # fmt: skip
"""Knobs without a place in the IR; the gateway works without them, and says so."""


def open_ollama_request(body: bytes, context: WireContext) -> OpenedRequest:
    """Parse a body and read what routing needs.

    A body without anything to answer asks for the model to be loaded; it gets its answer here (row 218).
    Raises: InvalidRequest when it is no JSON object, names no model, or `stream` is no boolean.
    """
    fields = jsonio.loads_object(body)
    model = written_model(fields, "model")
    stream = fields.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise InvalidRequest("`stream` must be a boolean.", param="stream")
    key = word(fields, "prompt_cache_key")
    is_generate = Shape.is_generate(context)
    is_empty = not (fields.get("prompt") or fields.get("images") or fields.get("suffix"))
    return OpenedRequest(
        model=plain_model(model),
        stream=stream is not False,
        body=fields,
        identity=Identity(
            prompt_cache_key=key, anchor=_anchor(fields, is_generate=is_generate) if key is None else None
        ),
        context=context,
        answer=load_answer(fields, context) if (is_empty if is_generate else not fields.get("messages")) else None,
    )


def _anchor(fields: dict[str, Any], *, is_generate: bool) -> str | None:
    model = plain_model(fields["model"])
    if is_generate:
        return conversation_anchor(
            model, word(fields, "system") or "", [{"role": "user", "content": fields.get("prompt")}]
        )
    messages = fields.get("messages")
    return conversation_anchor(model, "", messages if is_array(messages) else ())


def decode_ollama_request(opened: OpenedRequest) -> GenerateRequest:
    """Build the IR of an opened request.

    Raises: InvalidRequest or UnsupportedFeature, with `param` set to the client's own path.
    """
    body = opened.body
    options = nested(body, "options")
    is_generate = Shape.is_generate(opened.context)
    transcript = _read_prompt(body) if is_generate else _read_chat(body)
    return GenerateRequest(
        model=opened.model,
        items=tuple(transcript.items),
        instructions=tuple(transcript.instructions),
        tools=None if is_generate else _read_tools(body.get("tools")),
        sampling=_read_sampling(options),
        max_output_tokens=_read_limit(options),
        reasoning=_read_think(body.get("think")),
        output_format=_read_format(body.get("format")),
        identity=opened.identity,
        stream=opened.stream,
        dropped=(
            *(name for name in _DROPPED if body.get(name) is not None),
            *(f"options.{name}" for name, value in options.items() if name not in _OPTIONS and value is not None),
        ),
    )


def _read_chat(body: dict[str, Any]) -> Transcript:
    transcript = Transcript()
    transcript.read(body.get("messages"))
    transcript.attach(read_images(body.get("images"), "images"))
    if not transcript.items:
        transcript.items.append(Message("user", (TextPart(""),)))
    return transcript


def _read_prompt(body: dict[str, Any]) -> Transcript:
    transcript = Transcript()
    system, suffix = word(body, "system"), body.get("suffix")
    if system is not None:
        transcript.instructions.append(system)
    if isinstance(suffix, str) and suffix:
        transcript.instructions.append(infill_instruction(suffix))
    parts = read_text(body.get("prompt"), "prompt") + read_images(body.get("images"), "images")
    transcript.items.append(Message("user", parts or (TextPart(""),)))
    return transcript


def _read_tools(tools: Any) -> tuple[FunctionTool, ...] | None:
    """Read function tools, nested or flat, in order, the first of each name. Raises: InvalidRequest."""
    found: dict[str, FunctionTool] = {}
    for index, tool in enumerate(list_of(tools, "tools") if tools is not None else ()):
        inner = tool.get("function") if is_object(tool) else None
        source = inner if is_object(inner) else tool
        name = word(source, "name") if is_object(source) else None
        if name is None:
            raise InvalidRequest(f"`tools[{index}].function.name` is missing.", param=f"tools[{index}].function.name")
        parameters = first(source, "parameters", "input_schema")
        description = source.get("description")
        found.setdefault(
            name,
            FunctionTool(
                name=name,
                description=description if isinstance(description, str) else None,
                parameters=parameters if is_object(parameters) else None,
                strict=False,  # the upstream's own default would rewrite or refuse the schema (§4.3)
                position=index,
            ),
        )
    return tuple(found.values()) or None


def _read_sampling(options: dict[str, Any]) -> Sampling:
    return Sampling(
        temperature=number(options, "temperature"),
        top_p=number(options, "top_p"),
        top_k=whole(options, "top_k"),
        seed=whole(options, "seed"),
        frequency_penalty=number(options, "frequency_penalty"),
        presence_penalty=number(options, "presence_penalty"),
        stop=_read_stop(options.get("stop")),
    )


def _read_stop(stop: Any) -> tuple[str, ...]:
    listed = stop if is_array(stop) else [stop]
    return tuple(text for text in listed if isinstance(text, str) and text)


def _read_limit(options: dict[str, Any]) -> int | None:
    """A negative limit means none at all."""
    limit = whole(options, "num_predict")
    return limit if limit is not None and limit > 0 else None


def _read_think(think: Any) -> ReasoningOptions | None:
    """Read a switch or a level. Switched off is "none", whatever the model's default is (row 216)."""
    if isinstance(think, bool):
        think = "true" if think else "false"
    if not isinstance(think, str) or not think.strip():
        return None
    level = think.strip().lower()
    effort = _SWITCHES.get(level, level)
    return ReasoningOptions(effort=effort, summary=None if effort == "none" else "auto")


def _read_format(source: Any) -> OutputFormat | None:
    """Read "json" or a schema; a schema is strict when it can be, for nobody here could say otherwise (§4.8)."""
    if source is None or source == "":
        return None
    if source == "json":
        return OutputFormat(kind="json_object")
    if not is_object(source):
        raise InvalidRequest('`format` must be "json" or a JSON schema.', param="format")
    is_strict = next(strict_violations(close_objects(source)), None) is None
    return OutputFormat(kind="json_schema", name=SCHEMA_NAME, schema=source, strict=is_strict)
