"""A plan becomes the ordered events of one response, as bytes (wire.md §4).

Every step is one event whose `sequence_number` is its place in the list; `mark` says which stretch of the response it
ends, which is where faults cut. Pure. Next: `mischief.py` spoils the list, `playback.py` sends it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import orjson

from providers.simulator.call_events import write_call, write_interleaved
from providers.simulator.faults import Fault
from providers.simulator.hosted_events import write_image, write_search
from providers.simulator.ids import Ids
from providers.simulator.scenario import Compaction, Image, Output, Plan, Reasoning, RefusalText, Search, Text
from providers.simulator.tools import Call

Mark = Literal["created", "reasoning", "open", "text", "item", "terminal", "hosted"]
_PADDING = tuple(f"{n * 2_654_435_761 % 2**32:08x}"[: 4 + n % 13] for n in range(1, 17))


class Step(NamedTuple):
    """One event on its way."""

    type: str
    data: bytes
    mark: Mark
    delay_s: float = 0.0
    is_joined: bool = False
    """Leaves in the same write as the event before it."""
    is_stamped: bool = False


@dataclass
class Script:
    """All events of one response and what they amount to."""

    steps: list[Step] = field(default_factory=list)
    response: dict[str, Any] = field(default_factory=dict)
    items: list[dict[str, Any]] = field(default_factory=list)
    """The finished output items, for the history of a WebSocket."""
    usage: dict[str, Any] | None = None


class Scriptwriter:
    """Writes the events of one response."""

    def __init__(
        self,
        body: dict[str, Any],
        plan: Plan,
        ids: Ids,
        *,
        model: str,
        now: float,
        seal: Callable[[int], str],
        input_tokens: int,
        cached_tokens: int,
        faults: dict[str, Fault],
    ) -> None:
        self.body, self.plan, self.ids = body, plan, ids
        self.model, self.now, self.seal = model, now, seal
        self.input_tokens, self.cached_tokens = input_tokens, cached_tokens
        self.oddity = faults.get("F17")
        self.ending = faults.get("F16")
        self.script = Script()
        self.output_tokens = 0
        self.reasoning_tokens = 0
        self.images = 0
        self.searches = 0
        self.index = 0

    def emit(self, kind: str, mark: Mark, **fields: Any) -> None:
        """Add one event."""
        steps = self.script.steps
        data = orjson.dumps({"type": kind, "sequence_number": len(steps), **fields})
        steps.append(Step(kind, data, mark))

    def write(self) -> Script:
        """Return the events from `response.created` to the terminal one."""
        base = self._response()
        self.script.response = base
        self.emit("response.created", "created", response=base)
        self.emit("response.in_progress", "created", response=base)
        outputs = self.plan.outputs
        position = 0
        while position < len(outputs):
            calls = self._calls_from(position)
            if len(calls) > 1 and self.oddity is not None and self.oddity.has("interleaved"):
                write_interleaved(self, calls)
                position += len(calls)
                continue
            self._output(outputs[position])
            position += 1
        self._finish(base)
        return self.script

    def _calls_from(self, position: int) -> list[Call]:
        calls: list[Call] = []
        for output in self.plan.outputs[position:]:
            if not isinstance(output, Call) or output.kind == "local_shell":
                break
            calls.append(output)
        return calls

    def _response(self) -> dict[str, Any]:
        body = self.body
        text = body.get("text") or {}
        reasoning = body.get("reasoning") or {}
        tier = body.get("service_tier") or "auto"
        return {
            "id": self.ids.item("resp"),
            "object": "response",
            "created_at": int(self.now),
            "status": "in_progress",
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": body.get("instructions") or "",
            "max_output_tokens": None,
            "max_tool_calls": None,
            "model": self.model,
            "output": [],
            "parallel_tool_calls": body.get("parallel_tool_calls", True),
            "previous_response_id": body.get("previous_response_id"),
            "prompt_cache_key": body.get("prompt_cache_key"),
            "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
            "safety_identifier": "user-simulated",
            "service_tier": tier,
            "store": False,
            "temperature": 1.0,
            "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
            "tool_choice": body.get("tool_choice") or "auto",
            # The tools are echoed in three events; serialize them once.
            "tools": orjson.Fragment(orjson.dumps(body.get("tools") or [])),
            "top_logprobs": 0,
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": None,
            "user": None,
            "metadata": {},
            "headers": {"openai-model": self.model},
        }

    def _output(self, output: Output) -> None:
        match output:
            case Reasoning():
                self._reasoning(output)
            case Text():
                self._text(output)
            case RefusalText():
                self._refusal(output)
            case Call():
                write_call(self, output)
            case Image():
                write_image(self, output)
            case Search():
                write_search(self, output)
            case Compaction():
                self._whole("cmp", {"type": "compaction", "encrypted_content": self.seal(24)}, "item")
                self.output_tokens += 32

    def close(self, item: dict[str, Any], mark: Mark = "item") -> None:
        self.emit("response.output_item.done", mark, output_index=self.index, item=item)
        self.script.items.append(item)
        self.index += 1

    def _whole(self, prefix: str, item: dict[str, Any], mark: Mark) -> None:
        item = {"id": self.ids.item(prefix), **item}
        self.emit("response.output_item.added", "open", output_index=self.index, item=item)
        self.close(item, mark)

    def _reasoning(self, output: Reasoning) -> None:
        item_id = self.ids.item("rs")
        wants_proof = "reasoning.encrypted_content" in (self.body.get("include") or [])
        # What `added` carries is not final: clients that keep it lose the thread.
        first = {"encrypted_content": self.seal(4)} if wants_proof else {}
        final = {"encrypted_content": self.seal(12)} if wants_proof else {}
        where = {"item_id": item_id, "output_index": self.index}
        opened = {"id": item_id, "type": "reasoning", "summary": [], **first}
        self.emit("response.output_item.added", "created", output_index=self.index, item=opened)
        summary: list[dict[str, Any]] = []
        if (self.body.get("reasoning") or {}).get("summary"):
            for number, text in enumerate(output.parts):
                part = {"type": "summary_text", "text": text}
                spot = {**where, "summary_index": number}
                self.emit("response.reasoning_summary_part.added", "reasoning", **spot, part={**part, "text": ""})
                self.send_deltas("response.reasoning_summary_text.delta", spot, _pieces(text), "reasoning")
                self.emit("response.reasoning_summary_text.done", "reasoning", **spot, text=text)
                self.emit("response.reasoning_summary_part.done", "reasoning", **spot, part=part)
                summary.append(part)
        tokens = 64 + sum(len(text) // 4 for text in output.parts)
        self.reasoning_tokens += tokens
        self.output_tokens += tokens
        self.close({"id": item_id, "type": "reasoning", "summary": summary, "content": [], **final}, "reasoning")

    def send_deltas(
        self,
        kind: str,
        where: dict[str, Any],
        chunks: list[str],
        mark: Mark,
        *,
        text: Text | None = None,
        tail: bytes = b"",
    ) -> None:
        """Add deltas from a byte template: this is the path a benchmark measures."""
        spot = orjson.dumps(where)[1:-1]
        head = b'{"type":"%b","sequence_number":' % kind.encode()
        steps = self.script.steps
        number = len(steps)
        delay = text.delay_s if text else 0.0
        batch = text.batch if text else 1
        is_stamped = text.is_stamped if text else False
        dumps = orjson.dumps
        for count, chunk in enumerate(chunks):
            is_joined = count % batch != 0
            data = b'%b%d,%b,"delta":%b%b,"obfuscation":"%b"}' % (
                head,
                number,
                spot,
                dumps(chunk),
                tail,
                _PADDING[count & 15].encode(),
            )
            steps.append(Step(kind, data, mark, 0.0 if is_joined else delay, is_joined, is_stamped))
            number += 1

    def _message(
        self, part: dict[str, Any], empty: dict[str, Any], *, phase: str, deltas: Callable[[dict[str, Any]], None]
    ) -> None:
        item_id = self.ids.item("msg")
        shell = {
            "id": item_id,
            "type": "message",
            "status": "in_progress",
            "content": [],
            "phase": phase,
            "role": "assistant",
        }
        where = {"item_id": item_id, "output_index": self.index, "content_index": 0}
        self.emit("response.output_item.added", "open", output_index=self.index, item=shell)
        self.emit("response.content_part.added", "open", **where, part=empty)
        deltas(where)
        self.emit("response.content_part.done", "item", **where, part=part)
        self.close({**shell, "status": "completed", "content": [part]})

    def _text(self, output: Text) -> None:
        text = "".join(output.chunks)
        notes: list[dict[str, Any]] = []
        if output.citation:
            notes = [
                {
                    "type": "url_citation",
                    "start_index": 0,
                    "end_index": min(5, len(text)),
                    "url": output.citation,
                    "title": "Example",
                }
            ]

        def deltas(where: dict[str, Any]) -> None:
            self.send_deltas(
                "response.output_text.delta", where, output.chunks, "text", text=output, tail=b',"logprobs":[]'
            )
            for number, note in enumerate(notes):
                self.emit(
                    "response.output_text.annotation.added", "item", **where, annotation_index=number, annotation=note
                )
            self.emit("response.output_text.done", "item", **where, text=text, logprobs=[])

        part = {"type": "output_text", "annotations": notes, "logprobs": [], "text": text}
        empty = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
        self._message(part, empty, phase="commentary" if output.is_commentary else "final_answer", deltas=deltas)
        self.output_tokens += len(output.chunks)

    def _refusal(self, output: RefusalText) -> None:
        def deltas(where: dict[str, Any]) -> None:
            self.send_deltas("response.refusal.delta", where, _pieces(output.text), "text")
            self.emit("response.refusal.done", "item", **where, refusal=output.text)

        self._message(
            {"type": "refusal", "refusal": output.text},
            {"type": "refusal", "refusal": ""},
            phase="final_answer",
            deltas=deltas,
        )
        self.output_tokens += len(output.text) // 4 + 1

    def _usage(self) -> dict[str, Any]:
        given_in, given_out = self.plan.usage or (self.input_tokens, self.output_tokens)
        reasoning = min(self.reasoning_tokens, given_out)
        is_bare = self.ending is not None and self.ending.has("null_details")
        return {
            "input_tokens": given_in,
            "input_tokens_details": None
            if is_bare
            else {"cached_tokens": min(self.cached_tokens, given_in), "cache_write_tokens": 0},
            "output_tokens": given_out,
            "output_tokens_details": None if is_bare else {"reasoning_tokens": reasoning},
            "total_tokens": given_in + given_out,
        }

    def _finish(self, base: dict[str, Any]) -> None:
        reason = self.plan.incomplete_reason
        if self.ending is not None and self.ending.has("incomplete"):
            reason = self.ending.params.get("reason", "max_output_tokens")
        usage: dict[str, Any] | None = self._usage()
        self.script.usage = usage
        if self.ending is not None and self.ending.has("no_usage"):
            usage = None
        tier = base["service_tier"]
        final = {
            **base,
            "status": "incomplete" if reason else "completed",
            "usage": usage,
            "service_tier": "default" if tier == "auto" else tier,
        }
        if reason:
            final["incomplete_details"] = {"reason": reason}
        if self.ending is not None and self.ending.has("non_empty_output"):
            final["output"] = self.script.items
        if self.images or self.searches:
            made = 196 * self.images
            final["tool_usage"] = {
                "image_gen": {
                    "input_tokens": 31 * self.images,
                    "input_tokens_details": {"image_tokens": 0, "text_tokens": 31 * self.images},
                    "output_tokens": made,
                    "output_tokens_details": {"image_tokens": made, "text_tokens": 0},
                    "total_tokens": 31 * self.images + made,
                },
                "web_search": {"num_requests": self.searches},
            }
        self.emit("response.incomplete" if reason else "response.completed", "terminal", response=final)


def _pieces(text: str) -> list[str]:
    return [text[start : start + 12] for start in range(0, len(text), 12)]
