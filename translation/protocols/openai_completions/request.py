"""A legacy completions body → the IR: the prompt is one user message, everything else is a knob.

The models behind this only chat, so a prompt is answered rather than continued; only `suffix` says otherwise.
Facts: spec/translation.md §5.6. Reference: https://platform.openai.com/docs/api-reference/completions (checked
2026-11-23).
"""

from __future__ import annotations

from typing import Any

from translation.codec import OpenedRequest, WireContext
from translation.errors import InvalidRequest, UnsupportedFeature
from translation.ir.request import GenerateRequest, Identity, Message, Sampling, TextPart
from translation.shared.anchors import conversation_anchor
from translation.shared.fields import nested, number, whole, word
from translation.shared.infill import infill_instruction
from translation.wire import jsonio
from translation.wire.jsontypes import is_array

_DROPPED = ("echo", "logit_bias", "logprobs", "metadata", "store")
"""Knobs without a place in the IR; the gateway works without them, and says so."""


def open_completion_request(body: bytes, context: WireContext) -> OpenedRequest:
    """Parse a body and read what routing needs.

    Raises: InvalidRequest when it is no JSON object, names no model, or `stream` is no boolean.
    """
    fields = jsonio.loads_object(body)
    model = fields.get("model")
    if not isinstance(model, str) or not model.strip():
        raise InvalidRequest("`model` must be a string that names a model.", param="model")
    stream = fields.get("stream")
    if stream is not None and not isinstance(stream, bool):
        raise InvalidRequest("`stream` must be a boolean.", param="stream")
    key = word(fields, "prompt_cache_key")
    said = [{"role": "user", "content": fields.get("prompt")}]
    return OpenedRequest(
        model=model,
        stream=stream is True,
        body=fields,
        identity=Identity(
            prompt_cache_key=key,
            user=word(fields, "user"),
            anchor=conversation_anchor(model, "", said) if key is None else None,
        ),
        context=context,
    )


def decode_completion_request(opened: OpenedRequest) -> GenerateRequest:
    """Build the IR of an opened request.

    Raises: InvalidRequest or UnsupportedFeature, with `param` set to the client's own path.
    """
    body = opened.body
    for name in ("n", "best_of"):
        if body.get(name) not in (None, 1):
            raise UnsupportedFeature(f"`{name}` must be 1: the upstream gives one choice per request.", param=name)
    suffix = body.get("suffix")
    return GenerateRequest(
        model=opened.model,
        items=(Message("user", _read_prompt(body.get("prompt"))),),
        instructions=(infill_instruction(suffix),) if isinstance(suffix, str) and suffix else (),
        sampling=Sampling(
            temperature=number(body, "temperature"),
            top_p=number(body, "top_p"),
            seed=whole(body, "seed"),
            frequency_penalty=number(body, "frequency_penalty"),
            presence_penalty=number(body, "presence_penalty"),
            stop=_read_stop(body.get("stop")),
        ),
        max_output_tokens=whole(body, "max_tokens"),
        identity=opened.identity,
        stream=opened.stream,
        dropped=tuple(name for name in _DROPPED if body.get(name) is not None),
    )


def wants_usage(body: dict[str, Any]) -> bool:
    """Say whether the client asked for the extra usage chunk of a stream."""
    return nested(body, "stream_options").get("include_usage") is True


def _read_prompt(prompt: Any) -> tuple[TextPart, ...]:
    """Read a string or a list of strings. Raises: InvalidRequest, UnsupportedFeature (token ids)."""
    if prompt is None:
        raise InvalidRequest("`prompt` is missing.", param="prompt")
    pieces: list[Any] = prompt if is_array(prompt) else [prompt]
    if any(isinstance(piece, int | list) for piece in pieces):
        raise UnsupportedFeature("`prompt` holds token ids, which are not supported; send text.", param="prompt")
    if not all(isinstance(piece, str) for piece in pieces):
        raise InvalidRequest("`prompt` must be a string or a list of strings.", param="prompt")
    return tuple(TextPart(piece) for piece in pieces if piece) or (TextPart(""),)


def _read_stop(stop: Any) -> tuple[str, ...]:
    stops = [] if stop is None else stop if is_array(stop) else [stop]
    if not all(isinstance(text, str) for text in stops):
        raise InvalidRequest("`stop` must be a string or a list of strings.", param="stop")
    return tuple(text for text in stops if text)
