"""Faults that bite into a running stream: F10, F12, F13, F14, as changes to the list of events (wire.md §13.3).

Pure: steps in, steps and acts out. An `Act` is something other than an event: hang up, reset, be silent, send bytes.
Framing noise of F14 that is not an event of its own is left to the sink in `playback.py`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import orjson

from providers.simulator.events import Step
from providers.simulator.faults import Drawn, Fault, Point

_MESSAGES = {
    "server_is_overloaded": "Our servers are currently overloaded. Please try again later.",
    "slow_down": "Please slow down.",
    "rate_limit_exceeded": "Rate limit reached for gpt-5.5 in organization org-sim on tokens per min (TPM): Limit "
    "30000, Used 22999, Requested 12528. Please try again in 11.054s.",
    "usage_limit_reached": "The usage limit has been reached",
    "context_length_exceeded": "Your input exceeds the context window of this model. Please adjust your input and try "
    "again.",
    "websocket_connection_limit_reached": "Responses websocket connection limit reached (60 minutes). Create a new "
    "websocket connection to continue.",
    "previous_response_not_found": "Previous response with id 'resp_gone' not found.",
    "token_expired": "Provided authentication token is expired. Please try signing in again.",
}


class Act(NamedTuple):
    """Something other than an event. `partial` sends the beginning of a frame, `end` ends the body properly."""

    kind: Literal["fin", "rst", "end", "stall", "partial"]
    seconds: float = 0.0
    data: bytes = b""


Ladder = list[Step | Act]


def cut_at(steps: Ladder, after: Point) -> int:
    """Return how many steps come before the fault."""
    marks = [step.mark if isinstance(step, Step) else "" for step in steps]
    created = min(len(steps), 2)
    match after:
        case "start":
            return 0
        case "created":
            return created
        case "reasoning":
            return max((index + 1 for index, mark in enumerate(marks) if mark == "reasoning"), default=created)
        case "text":
            places = [index for index, mark in enumerate(marks) if mark == "text"]
            return places[(len(places) - 1) // 2] + 1 if places else len(steps) - 1
        case "item":
            return len(steps) - 1


def failed_event(fault: Fault, number: int, response: dict[str, object]) -> Step:
    """Return the event that tells of a failure inside a stream."""
    code = fault.variant or "server_error"
    message = str(fault.params.get("message", _MESSAGES.get(code, f"The response failed: {code}.")))
    if fault.params.get("form") == "error":
        body: dict[str, object] = {
            "type": "error",
            "sequence_number": number,
            "error": {"type": code, "code": code, "message": message, "param": None},
        }
        return Step("error", orjson.dumps(body), "terminal")
    if fault.params.get("form") == "flat":
        body = {"type": "error", "sequence_number": number, "code": code, "message": message, "param": None}
        return Step("error", orjson.dumps(body), "terminal")
    failed = {**response, "status": "failed", "error": {"code": code, "message": message}, "usage": None}
    body = {"type": "response.failed", "sequence_number": number, "response": failed}
    return Step("response.failed", orjson.dumps(body), "terminal")


def spoil(steps: list[Step], faults: Drawn, response: dict[str, object]) -> Ladder:
    """Return the steps as the faults leave them."""
    ladder: Ladder = list(steps)
    if "F14" in faults:
        ladder = _noise(ladder, faults["F14"])
    if "F10" in faults:
        fault = faults["F10"]
        place = cut_at(ladder, fault.after)
        wait: Ladder = [Act("stall", float(fault.params["seconds"]))] if "seconds" in fault.params else []
        ladder = [*ladder[:place], *wait, failed_event(fault, place, response)]
    if "F12" in faults:
        ladder = _broken(ladder, faults["F12"])
    if "F13" in faults and faults["F13"].has("silence"):
        fault = faults["F13"]
        place = cut_at(ladder, fault.after)
        ladder.insert(place, Act("stall", float(fault.params.get("seconds", 30))))
    return ladder


def _broken(ladder: Ladder, fault: Fault) -> Ladder:
    end = Act("end" if fault.has("clean_end") else "fin")
    if fault.has("rst") or fault.params.get("end") == "rst":
        end = Act("rst")
    is_partial = fault.has("mid_event") or fault.has("mid_utf8")
    place = cut_at(ladder, "text" if is_partial and fault.after == "start" else fault.after)
    kept = ladder[:place]
    following = next((step for step in ladder[place:] if isinstance(step, Step)), None)
    if fault.has("mid_event") and following is not None:
        kept.append(Act("partial", data=_frame(following)[: len(_frame(following)) // 2]))
    elif fault.has("mid_utf8"):
        model = next((step for step in ladder if isinstance(step, Step) and step.type.endswith("text.delta")), None)
        data = model.data if model else b'{"type":"response.output_text.delta","delta":""}'
        frame = _frame(Step("response.output_text.delta", data.replace(b'"delta":"', '"delta":"☃'.encode()), "text"))
        snowman = frame.find("☃".encode())
        kept.append(Act("partial", data=frame[: snowman + 2]))
    return [*kept, end]


def _frame(step: Step) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (step.type.encode(), step.data)


def _noise(ladder: Ladder, fault: Fault) -> Ladder:
    if fault.has("unknown_event"):
        odd = orjson.dumps({"type": "response.hologram.delta", "sequence_number": 99_999, "delta": {"x": 1}})
        ladder = [*ladder[:2], Step("response.hologram.delta", odd, "created"), *ladder[2:]]
    if fault.has("keepalive"):
        beat = Step("keepalive", b'{"type":"keepalive","sequence_number":0}', "created")
        ladder = [part for step in ladder for part in (beat, step)]
    if fault.has("huge"):
        weight = int(fault.params.get("size_mb", 20)) * 1024 * 1024
        body = b'{"type":"response.debug.dump","sequence_number":0,"data":"' + b"x" * weight + b'"}'
        place = max(2, len(ladder) - 1)
        ladder = [*ladder[:place], Step("response.debug.dump", body, "item"), *ladder[place:]]
    return ladder
