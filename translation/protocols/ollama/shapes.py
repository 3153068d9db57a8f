"""The objects that a stream's lines and a collected answer share, so that the two cannot differ.

Chat speaks in `message`, generate in `response` and `thinking`; the last line (or the only one) also holds reason,
counts and durations. Durations are what the gateway itself measured. Facts: spec/translation.md §9.
"""

from __future__ import annotations

from typing import Any

from translation.codec import OpenedRequest, WireContext
from translation.ir import events as ev
from translation.ir.usage import Usage
from translation.protocols.ollama.names import timestamp
from translation.shared.pictures import picture_note
from translation.wire import jsonio
from translation.wire.jsontypes import is_object

GENERATE_PATH = "/api/generate"
PARAGRAPH = "\n\n"
"""Stands between parts of thinking, which is one string."""
_NS = 1_000_000_000


class Shape:
    """How one answer is written: its head, and the fields around text."""

    __slots__ = ("context", "created_at", "generates", "model", "shows_thinking")

    def __init__(self, body: dict[str, Any], context: WireContext) -> None:
        self.context = context
        self.generates = self.is_generate(context)
        self.model = body["model"]
        self.created_at = timestamp(context.now_s)
        self.shows_thinking = body.get("think") not in (False, "false", "none")

    @staticmethod
    def is_generate(context: WireContext) -> bool:
        """Say whether the request came by /api/generate."""
        return context.path == GENERATE_PATH

    def picture(self, picture: ev.ImageDelta) -> dict[str, Any]:
        """Return the fields that tell of a picture: `image` has a place in generate's answers only.

        Ollama's package for Python fails on a chat answer with `images`.
        """
        if self.generates:
            return {"content": "", "images": [picture.data]}
        return {"content": picture_note(picture)}

    def said(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return the part of a line that holds what the model said; `fields` has `content` and more."""
        if not self.generates:
            return {"message": {"role": "assistant", **fields}}
        spoken: dict[str, Any] = {"response": fields["content"]}
        if fields.get("thinking"):
            spoken["thinking"] = fields["thinking"]
        if fields.get("images"):
            spoken["image"] = fields["images"][0]
        return spoken

    def whole(self, fields: dict[str, Any], ending: dict[str, Any]) -> dict[str, Any]:
        """Return a final object: what was said, and how it ended."""
        extra: dict[str, Any] = {"context": []} if self.generates else {}
        head = {"model": self.model, "created_at": self.created_at}
        return {**head, **self.said(fields), "done": True, **ending, **extra}


def load_answer(body: dict[str, Any], context: WireContext) -> bytes:
    """Return the answer to a request that says nothing: the model is loaded, or let go (`keep_alive: 0`)."""
    reason = "unload" if body.get("keep_alive") in (0, "0", "0s") else "load"
    answer = Shape(body, context).whole({"content": ""}, {"done_reason": reason})
    answer.pop("context", None)
    return jsonio.dumps(answer) + b"\n"


def done_reason(reason: ev.FinishReason) -> str:
    """Return Ollama's word; a call that was made is an ordinary end to it."""
    return "length" if reason == "length" else "stop"


def counts(usage: Usage | None) -> dict[str, int]:
    """Return token counts; none when the upstream gave none."""
    if usage is None:
        return {}
    return {"prompt_eval_count": usage.input_tokens, "eval_count": usage.output_tokens}


def durations(context: WireContext, first_output_s: float | None) -> dict[str, int]:
    """Return what the gateway measured, in ns and never 0, because clients divide by it.

    An answer that was collected has no moment of its first output: all of its time counts as generation. Nothing is
    loaded here, so there is no `load_duration`; without a clock nothing is known.
    """
    if context.clock is None:
        return {}
    now_s = context.clock()
    spent = {"total_duration": _ns(now_s - context.now_s)}
    if first_output_s is not None:
        spent["prompt_eval_duration"] = _ns(first_output_s - context.now_s)
    spent["eval_duration"] = _ns(now_s - (context.now_s if first_output_s is None else first_output_s))
    return spent


def _ns(seconds: float) -> int:
    return max(1, int(seconds * _NS))


def tool_call(start: ev.BlockStart, arguments: str, position: int) -> dict[str, Any] | None:
    """Return a whole call, arguments as an object; None for one that was cut off before its arguments were JSON.

    A cut call is left out as Ollama does: running a tool on half of its arguments would be worse.
    """
    parsed: Any = {"input": arguments} if start.tool_kind == "custom" else _parse(arguments)
    if not is_object(parsed):
        return None
    return {"id": start.call_id, "function": {"index": position, "name": start.name, "arguments": parsed}}


def _parse(arguments: str) -> Any:
    if not arguments.strip():
        return {}
    try:
        return jsonio.loads(arguments)
    except ValueError:
        return None


def shape_of(opened: OpenedRequest) -> Shape:
    """Return how the answer to `opened` is written."""
    return Shape(opened.body, opened.context)
