"""Whatever order the upstream speaks in: grammar holds, nothing said is lost or doubled, one terminal event."""

from __future__ import annotations

import json
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from translation.codec import WireContext
from translation.ir import events as ev
from translation.ir import grammar
from translation.ir.response import Fold
from translation.protocols.openai_responses import CODEC
from translation.protocols.openai_responses.decoder import ResponsesDecoder
from translation.wire.ids import counting_ids

TERMINALS = ("response.completed", "response.incomplete", "response.failed", "error")


def opened():
    return CODEC.open_request(b'{"model":"m","input":"hi","stream":true}', WireContext(ids=counting_ids()))


def encoded(events, *, is_named=True):
    frames = []
    for number, (name, fields) in enumerate(events):
        data = json.dumps({"type": name, "sequence_number": number, **fields})
        frames.append(f"event: {name}\ndata: {data}\n\n" if is_named else f"data: {data}\n\n")
    return "".join(frames).encode()


def decoded(data):
    decoder = CODEC.decoder()
    events = decoder.feed(data) + decoder.finish()
    grammar.check(events)
    assert sum(isinstance(event, ev.Stop | ev.Error) for event in events) == 1
    return events


def message_events(index, pieces):
    place = {"item_id": f"msg_{index}", "output_index": index, "content_index": 0}
    full = "".join(pieces)
    part = {"type": "output_text", "annotations": [], "text": full}
    item = {"id": f"msg_{index}", "type": "message", "role": "assistant", "content": []}
    deltas = [("response.output_text.delta", {**place, "delta": piece}) for piece in pieces]
    extras = [
        ("response.output_item.added", {"output_index": index, "item": item}),
        ("response.content_part.added", {**place, "part": {**part, "text": ""}}),
        ("response.output_text.done", {**place, "text": full}),
        ("response.content_part.done", {**place, "part": part}),
    ]
    return deltas, extras, {**item, "content": [part]}


def call_events(index, pieces):
    place = {"item_id": f"fc_{index}", "output_index": index}
    full = "".join(pieces)
    item = {"id": f"fc_{index}", "type": "function_call", "call_id": f"call_{index}", "name": "f", "arguments": ""}
    deltas = [("response.function_call_arguments.delta", {**place, "delta": piece}) for piece in pieces]
    extras = [
        ("response.output_item.added", {"output_index": index, "item": item}),
        ("response.function_call_arguments.done", {**place, "arguments": full}),
    ]
    return deltas, extras, {**item, "arguments": full}


@st.composite
def stories(draw):
    """Items with their pieces, their events in a random order, and a terminal event with or without the output.

    Only the deltas of one item keep their order. Any event may be missing as long as the item is said once: by all its
    deltas, by item.done, or by the output of the terminal event.
    """
    items, queues = [], []
    for index in range(draw(st.integers(0, 4))):
        is_call = draw(st.booleans())
        pieces = [f"<{index}:{number}>" for number in range(draw(st.integers(1, 4)))]
        deltas, extras, item = (call_events if is_call else message_events)(index, pieces)
        done = ("response.output_item.done", {"output_index": index, "item": item})
        said_by = draw(st.sampled_from(["deltas", "done", "output", "all"]))
        queue = list(deltas) if said_by in ("deltas", "all") else deltas[: draw(st.integers(0, len(deltas)))]
        is_named = is_call and said_by == "deltas"
        kept = [extra for number, extra in enumerate(extras) if (is_named and not number) or draw(st.booleans())]
        for extra in [*kept, *([done] if said_by in ("done", "all") else [])]:
            for _ in range(draw(st.sampled_from([1, 1, 1, 2]))):
                queue.insert(draw(st.integers(0, len(queue))), extra)
        address = draw(st.sampled_from(["both", "item_id", "output_index"]))
        queue = [(name, readdressed(fields, address)) for name, fields in queue]
        items.append((is_call, pieces, item, said_by))
        queues.append(queue)
    events = merged(draw, queues)
    is_needed = any(said_by == "output" for *_, said_by in items)
    output = [item for _, _, item, _ in items] if is_needed or draw(st.booleans()) else []
    end = draw(st.sampled_from(["response.completed", "response.incomplete", "response.done"]))
    if draw(st.booleans()):
        events.insert(0, ("response.created", {"response": {"id": "resp_1", "model": "m"}}))
    events.append((end, {"response": {"id": "resp_1", "output": output}}))
    return items, events


def readdressed(fields, address):
    """Leave only one of the two addresses on an event of a part; items have both of their own."""
    if "item" in fields or address == "both":
        return fields
    return {key: value for key, value in fields.items() if key not in ("item_id", "output_index") or key == address}


def merged(draw, queues):
    """Interleave the queues at random."""
    events, waiting = [], [list(queue) for queue in queues if queue]
    while waiting:
        queue = waiting[draw(st.integers(0, len(waiting) - 1))]
        events.append(queue.pop(0))
        waiting = [queue for queue in waiting if queue]
    return events


@settings(deadline=None, max_examples=400)
@given(story=stories(), is_named=st.booleans())
def test_nothing_said_is_lost_or_doubled_in_any_order(story, is_named):
    items, events = story
    fold = Fold()
    fold.feed(decoded(encoded(events, is_named=is_named)))
    blocks = fold.result().blocks
    text = "".join(block.text for block in blocks if block.kind == "text")
    for index, (is_call, pieces, _, _) in enumerate(items):
        if not is_call:
            assert re.findall(rf"<{index}:\d+>", text) == pieces
    calls = sorted(block.text for block in blocks if block.kind == "tool_call")
    assert calls == sorted("".join(pieces) for is_call, pieces, _, _ in items if is_call)


@settings(deadline=None, max_examples=200)
@given(story=stories())
def test_the_tap_keeps_the_order_that_clients_need(story):
    tap = CODEC.tap(opened())
    data = encoded(story[1])
    names = re.findall(r"^event: (.+)$", (tap.feed(data) + tap.finish()).decode(), re.MULTILINE)
    assert names[0] == "response.created"
    assert [name for name in names if name in TERMINALS] == [names[-1]]
    assert tap.error is None
    output = json.loads(tap.collected())["output"]
    for index, (_, pieces, _, said_by) in enumerate(story[0]):
        if said_by in ("done", "all", "output"):
            assert "".join(pieces) in json.dumps(output), index


@settings(deadline=None, max_examples=200)
@given(story=stories(), cut=st.integers(0, 10_000))
def test_a_stream_cut_anywhere_ends_in_exactly_one_failure(story, cut):
    data = encoded(story[1])
    data = data[: cut % max(1, len(data) - 3)]
    events = decoded(data)
    assert isinstance(events[-1], ev.Error)
    tap = CODEC.tap(opened())
    names = re.findall(r"^event: (.+)$", (tap.feed(data) + tap.finish()).decode(), re.MULTILINE)
    assert names[-1] == "response.failed"
    assert tap.error is not None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["", "msg_1", "message", "function_call", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["type", "id", "text"]), inner),
    max_leaves=4,
)
PART_KEYS = ("item_id", "output_index", "content_index", "summary_index", "delta", "text", "part", "annotation", "name")
OTHER_KEYS = ("item", "arguments", "input", "response", "error", "code", "message", "refusal", "partial_image_b64")
KEYS = st.sampled_from(PART_KEYS + OTHER_KEYS)
NAMES = st.sampled_from(sorted([*ResponsesDecoder.EVENTS, "codex.rate_limits", "other"]))
ITEMS = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "reasoning", "function_call", "custom_tool_call", "image_generation_call"])},
    optional=dict.fromkeys(("id", "call_id", "name", "content", "summary", "arguments", "result", "status"), VALUES),
)


@settings(deadline=None, max_examples=400)
@given(
    events=st.lists(
        st.tuples(NAMES, st.dictionaries(KEYS, VALUES | ITEMS, max_size=5) | st.fixed_dictionaries({"item": ITEMS})),
        max_size=12,
    )
)
def test_nonsense_never_breaks_the_decoder_or_the_tap(events):
    data = encoded(events)
    decoded(data)
    tap = CODEC.tap(opened())
    tap.feed(data)
    tap.finish()
    assert tap.done


@settings(deadline=None, max_examples=150)
@given(data=st.binary(max_size=400))
def test_arbitrary_bytes_never_break_the_decoder_or_the_tap(data):
    decoded(data)
    tap = CODEC.tap(opened())
    tap.feed(data)
    tap.finish()
    assert tap.done
    assert tap.error is not None
