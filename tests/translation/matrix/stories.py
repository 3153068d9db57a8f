"""Random upstream answers: what they say is known, how the upstream tells it is drawn.

`legal_stories` follow the order of a real backend (spec/wire.md §4): items one after the other, each with its whole
ladder of events, only neighbouring calls interleave. `wild_stories` keep nothing of that: any event may be missing,
doubled or misplaced, as long as every item is said once. Every piece of text is unique, so that a loss is seen.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st
from msgspec import Struct

from tests.translation.matrix.contract import Truth

Event = tuple[str, dict[str, Any]]
Draw = Any

FUNNY = st.sampled_from(["", "é", "😀", "\u2028", "\u0085", "\\", '"', "\n", "\r\n", "[DONE]", "data: x", "</s>"])
ENDS = {"stop": ("completed", None), "length": ("incomplete", "max_output_tokens"),
        "content_filter": ("incomplete", "content_filter")}  # fmt: skip


class Item(Struct):
    """One output item: its announcement, its deltas in order, other events about it, and the item when done."""

    kind: str
    added: dict[str, Any]
    deltas: list[Event]
    ladder: list[Event]
    done: dict[str, Any]
    pieces: list[str]
    is_finished: bool = True
    """Whether the upstream ever tells the whole item; the relay collects what is finished, and text."""

    @property
    def said(self) -> str:
        """All of its text."""
        return "".join(self.pieces)


class Story(Struct):
    """An answer: its items in output order, the events in the order of the wire, how it ends."""

    items: list[Item]
    events: list[Event]
    truth: Truth

    @property
    def data(self) -> bytes:
        """The stream."""
        return encoded(self.events)


def encoded(events: list[Event], *, is_named: bool = True) -> bytes:
    """Write events as the backend does; without `is_named` the `event:` lines are left out."""
    frames = []
    for number, (name, fields) in enumerate(events):
        data = json.dumps({"type": name, "sequence_number": number, **fields}, ensure_ascii=False)
        frames.append(f"event: {name}\ndata: {data}\n\n" if is_named else f"data: {data}\n\n")
    return "".join(frames).encode()


def cut(draw: Draw, text: str) -> list[str]:
    """Cut a text into one to four pieces."""
    points = sorted({draw(st.integers(0, len(text))) for _ in range(3)} | {0, len(text)})
    return [text[start:end] for start, end in pairwise(points)]


def marked(draw: Draw, index: int) -> list[str]:
    """Pieces of a text that no other item says; a mark is never cut, so that it is found between those of others."""
    return [f"<{index}:{mark}>{draw(FUNNY)}" for mark in "abc"[: draw(st.integers(1, 3))]]


def make_message(draw: Draw, index: int) -> Item:
    return _spoken(draw, index, "output_text", "text")


def make_refusal(draw: Draw, index: int) -> Item:
    return _spoken(draw, index, "refusal", "refusal")


def _spoken(draw: Draw, index: int, kind: str, key: str) -> Item:
    place = {"item_id": f"msg_{index}", "output_index": index, "content_index": 0}
    pieces = marked(draw, index)
    blank = {"type": kind, key: ""} | ({"annotations": []} if key == "text" else {})
    part = blank | {key: "".join(pieces)}
    added = {"id": f"msg_{index}", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    deltas = [(f"response.{kind}.delta", {**place, "delta": piece}) for piece in pieces]
    ladder = [
        ("response.content_part.added", {**place, "part": blank}),
        *deltas,
        (f"response.{kind}.done", {**place, key: part[key]}),
        ("response.content_part.done", {**place, "part": part}),
    ]
    return Item(kind, added, deltas, ladder, {**added, "status": "completed", "content": [part]}, pieces)


def make_call(draw: Draw, index: int) -> Item:
    pieces = cut(draw, json.dumps({"a": "".join(marked(draw, index))}, ensure_ascii=draw(st.booleans())))
    return _called(index, "function_call", "function_call_arguments", "arguments", pieces)


def make_custom_call(draw: Draw, index: int) -> Item:
    return _called(index, "custom_tool_call", "custom_tool_call_input", "input", marked(draw, index))


def _called(index: int, kind: str, event: str, key: str, pieces: list[str]) -> Item:
    place = {"item_id": f"fc_{index}", "output_index": index}
    added = {
        "id": f"fc_{index}",
        "type": kind,
        "status": "in_progress",
        "call_id": f"call_{index}",
        "name": f"tool_{index}",
    }
    deltas = [(f"response.{event}.delta", {**place, "delta": piece}) for piece in pieces]
    full = "".join(pieces)
    ladder = [*deltas, (f"response.{event}.done", {**place, key: full})]
    return Item(kind, {**added, key: ""}, deltas, ladder, {**added, "status": "completed", key: full}, pieces)


def make_reasoning(draw: Draw, index: int) -> Item:
    place = {"item_id": f"rs_{index}", "output_index": index, "summary_index": 0}
    pieces = marked(draw, index) if draw(st.booleans()) else []
    part = {"type": "summary_text", "text": "".join(pieces)}
    added = {"id": f"rs_{index}", "type": "reasoning", "summary": []}
    deltas = [("response.reasoning_summary_text.delta", {**place, "delta": piece}) for piece in pieces]
    ladder = [
        ("response.reasoning_summary_part.added", {**place, "part": {**part, "text": ""}}),
        *deltas,
        ("response.reasoning_summary_text.done", {**place, "text": part["text"]}),
        ("response.reasoning_summary_part.done", {**place, "part": part}),
    ] if pieces else []  # fmt: skip
    done = {**added, "summary": [part] if pieces else [], "encrypted_content": f"gAAAAABproof{index}"}
    return Item("reasoning", added, deltas, ladder, done, pieces)


def make_image(draw: Draw, index: int) -> Item:
    place = {"item_id": f"ig_{index}", "output_index": index}
    added = {"id": f"ig_{index}", "type": "image_generation_call", "status": "in_progress"}
    partials = [
        ("response.image_generation_call.partial_image",
         {**place, "partial_image_index": number, "partial_image_b64": f"cGFydA{index}{number}"})
        for number in range(draw(st.integers(0, 2)))
    ]  # fmt: skip
    done = {**added, "status": "completed", "result": f"cGljdHVyZQ{index}A", "output_format": "png"}
    return Item("image_generation_call", added, [], partials, done, [])


def make_search(draw: Draw, index: int) -> Item:
    added = {"id": f"ws_{index}", "type": "web_search_call", "status": "in_progress"}
    sources = [{"type": "url", "url": f"https://example.com/{index}"}] if draw(st.booleans()) else []
    action = {"type": "search", "query": f"q{index}", "sources": sources}
    place = {"item_id": f"ws_{index}", "output_index": index}
    ladder: list[Event] = [("response.web_search_call.searching", place), ("response.web_search_call.completed", place)]
    return Item("web_search_call", added, [], ladder, {**added, "status": "completed", "action": action}, [])


MAKERS = [make_message, make_refusal, make_call, make_custom_call, make_reasoning, make_image, make_search]
CALLS = ("function_call", "custom_tool_call")


def usage(draw: Draw, items: list[Item]) -> tuple[dict[str, Any], dict[str, int]]:
    """Token counts as the backend writes them, and as `Truth` does; an answer of nothing has no output tokens."""
    cached, more, reasoning, spoken = (draw(st.integers(0, 50)) for _ in range(4))
    if not items:
        reasoning = spoken = 0
    fields = {
        "input_tokens": cached + more + 1, "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": reasoning + spoken, "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": cached + more + 1 + reasoning + spoken,
    }  # fmt: skip
    counts = {"input": cached + more + 1, "cached": cached, "output": reasoning + spoken, "reasoning": reasoning}
    return fields, {**counts, "total": fields["total_tokens"]}


def truth_of(items: list[Item], end: str, counts: dict[str, int] | None) -> Truth:
    """What the items say."""
    truth = Truth(end=end, usage=counts)
    for item in items:
        match item.kind:
            case "output_text":
                truth.text += item.said
            case "refusal":
                truth.refusal += item.said
            case "function_call" | "custom_tool_call":
                kind = "custom" if item.kind.startswith("custom") else "function"
                truth.calls.append((kind, item.added["name"], item.said))
            case "reasoning":
                truth.reasoning += [item.said] if item.pieces else []
                truth.proofs.append(item.done["encrypted_content"])
            case "image_generation_call":
                truth.images.append(item.done["result"])
            case _:
                truth.searched += [source["url"] for source in item.done["action"]["sources"]]
    return truth


def draw_items(draw: Draw, *, is_legal: bool) -> list[Item]:
    """Up to four items, at most one picture."""
    items: list[Item] = []
    for index in range(draw(st.integers(0, 4))):
        kinds = {item.kind for item in items}
        unfit = [make_image] if "image_generation_call" in kinds else []
        if is_legal:  # a message says something or refuses; no order of both could be kept by all protocols
            unfit += [make_refusal] if "output_text" in kinds else []
            unfit += [make_message] if "refusal" in kinds else []
        items.append(draw(st.sampled_from([make for make in MAKERS if make not in unfit]))(draw, index))
    return items


def draw_end(draw: Draw, items: list[Item]) -> str:
    """How it ends; a limit that cuts calls or refusals has its own transcripts: everybody tells it differently."""
    is_plain = all(item.kind not in (*CALLS, "refusal") for item in items)
    return draw(st.sampled_from(sorted(ENDS))) if is_plain else "stop"


def opening() -> list[Event]:
    response = {"id": "resp_1", "object": "response", "status": "in_progress", "model": "m", "output": []}
    return [("response.created", {"response": response}), ("response.in_progress", {"response": response})]


def ending(end: str, output: list[Any], counted: dict[str, Any] | None) -> Event:
    status, reason = ENDS[end]
    details = {"reason": reason} if reason else None
    response = {"id": "resp_1", "object": "response", "status": status, "model": "m", "output": output,
                "incomplete_details": details, "usage": counted}  # fmt: skip
    return f"response.{status}", {"response": response}


@st.composite
def legal_stories(draw: Draw) -> Story:
    """Answers as a real backend tells them."""
    items = draw_items(draw, is_legal=True)
    events = opening()
    group: list[list[Event]] = []
    for index, item in enumerate(items):
        ladder = [
            ("response.output_item.added", {"output_index": index, "item": item.added}),
            *item.ladder,
            ("response.output_item.done", {"output_index": index, "item": item.done}),
        ]
        if item.kind in CALLS:
            group.append(ladder)
            continue
        events += braided(draw, group)
        group = []
        events += ladder
    events += braided(draw, group)
    end = draw_end(draw, items)
    counted, counts = usage(draw, items)
    output = [item.done for item in items] if draw(st.booleans()) else []
    events.append(ending(end, output, counted))
    return Story(items, events, truth_of(items, end, counts))


def braided(draw: Draw, queues: list[list[Event]]) -> list[Event]:
    """Interleave calls: each begins in turn and goes on whenever it likes."""
    waiting, running, events = list(queues), [], []
    while waiting or running:
        at = draw(st.integers(0, len(running))) if waiting else draw(st.integers(0, len(running) - 1))
        if at == len(running):
            running.append(list(waiting.pop(0)))
        events.append(running[at].pop(0))
        running = [queue for queue in running if queue]
    return events


@st.composite
def wild_stories(draw: Draw) -> Story:
    """Answers in any order: only the deltas of one item keep theirs.

    An item is said once: by all its deltas, by item.done, by the output of the terminal event, or by all of them.
    """
    items = draw_items(draw, is_legal=False)
    queues: list[list[Event]] = []
    output_needed = False
    for index, item in enumerate(items):
        said_by = draw(
            st.sampled_from(["deltas", "done", "output", "all"] if item.pieces else ["done", "output", "all"])
        )
        if item.kind == "reasoning" and said_by == "deltas":
            said_by = "all"  # the proof is in the finished item only
        item.is_finished = said_by != "deltas"
        output_needed = output_needed or said_by == "output"
        queues.append(_told(draw, index, item, said_by))
    events: list[Event] = opening()[: draw(st.integers(0, 2))]
    waiting = [queue for queue in queues if queue]
    while waiting:
        queue = waiting[draw(st.integers(0, len(waiting) - 1))]
        events.append(queue.pop(0))
        waiting = [queue for queue in waiting if queue]
    end = draw_end(draw, items)
    output = [item.done for item in items] if output_needed or draw(st.booleans()) else []
    counted, counts = usage(draw, items)
    events.append(ending(end, output, counted))
    return Story(items, events, truth_of(items, end, counts))


def _told(draw: Draw, index: int, item: Item, said_by: str) -> list[Event]:
    added = ("response.output_item.added", {"output_index": index, "item": item.added})
    done = ("response.output_item.done", {"output_index": index, "item": item.done})
    is_whole = said_by in ("deltas", "all")
    queue = list(item.deltas) if is_whole else item.deltas[: draw(st.integers(0, len(item.deltas)))]
    others = [event for event in item.ladder if event not in item.deltas]
    if said_by == "output" and item.kind in CALLS:
        others = []
    is_needed = item.kind in CALLS and said_by == "deltas"  # nothing else would name the call
    extras = [added] if is_needed or draw(st.booleans()) else []
    extras += [event for event in others if draw(st.booleans())]
    extras += [done] if said_by in ("done", "all") else []
    for extra in extras:
        for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
            queue.insert(draw(st.integers(0, len(queue))), extra)
    address = draw(st.sampled_from(["both", "item_id", "output_index"]))
    return [(name, readdressed(fields, address)) for name, fields in queue]


def readdressed(fields: dict[str, Any], address: str) -> dict[str, Any]:
    """Leave only one of the two addresses on an event of a part; items have both of their own."""
    if "item" in fields or address == "both":
        return fields
    return {key: value for key, value in fields.items() if key not in ("item_id", "output_index") or key == address}
