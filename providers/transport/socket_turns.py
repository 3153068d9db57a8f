"""Responses over an upstream WebSocket, without the socket: what goes in, what it has seen, what comes out. Pure.

A turn is an HTTP body taken apart. `Memory` decides whether the socket may be sent only what is new: everything but the
input must be equal, and the input must begin with what the socket has seen and said, item by item. Fields that say
nothing to the model (ids, status, annotations) are left out of the comparison, and what no client replays (reasoning,
searches) may be missing. Facts: spec/wire.md §1.3, spec/translation.md §3.3. Next: `socket_pool.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from translation.protocols.openai_responses.decoder import sniff_name, tolerant_object
from translation.wire import jsonio
from translation.wire.jsontypes import is_array, is_object
from translation.wire.sse import frame as sse_frame

Json = dict[str, Any]

TERMINALS = frozenset({b"response.completed", b"response.incomplete", b"response.failed", b"response.done", b"error"})
METADATA = frozenset({b"codex.response.metadata", b"response.metadata"})
RATE_LIMITS = b"codex.rate_limits"
UNSAID = frozenset({b"keepalive", b"responsesapi.websocket_timing"})
"""Frames that have no place in a stream of events."""

_REPLAYED = frozenset({"message", "function_call", "custom_tool_call"})
_CALLS = frozenset({"function_call", "custom_tool_call"})
_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output"})
_SAYS_NOTHING = frozenset({"id", "status", "phase"})
_SAYS_NOTHING_IN_PARTS = frozenset({"annotations", "logprobs"})
_REVIEW_NAMES = frozenset({"review", "code_review", "codex_review", "codex_code_review"})
MAX_HEADER_CHARS = 4096


class Turn(Struct, frozen=True):
    """One request. `shape` is a digest of everything but the input, `digests` one of each item."""

    fields: Json
    items: list[Any]
    digests: list[bytes]
    shape: bytes
    variant: str
    """What tells agents of one conversation apart (spec/translation.md §3.2)."""

    def message(self, metadata: Mapping[str, str], memory: Memory, start: int | None) -> bytes:
        """Return the frame that asks for the answer. With a `start`, only the items from there on are sent."""
        message: Json = {"type": "response.create", **self.fields, "input": self.items[start:]}
        if start is not None:
            message["previous_response_id"] = memory.latest_id
        if metadata:
            message["client_metadata"] = {**(self.fields.get("client_metadata") or {}), **metadata}
        return jsonio.dumps(message)


def read_turn(body: bytes) -> Turn:
    """Take the HTTP body of a request apart."""
    fields = jsonio.loads(body)
    items = fields.pop("input")
    shape = {key: value for key, value in fields.items() if key != "client_metadata"}
    agent = jsonio.dumps([fields.get("instructions"), fields.get("tools")])
    return Turn(fields, items, [_digest(item) for item in items], _hash(jsonio.dumps(shape)), _hash(agent).hex())


class Memory:
    """What one socket has seen and said. Invariant: empty unless its latest response can be continued."""

    __slots__ = ("_calls", "_seen", "_shape", "latest_id")

    def __init__(self) -> None:
        self.latest_id = ""
        self._shape = b""
        self._seen: list[tuple[bytes, bool]] = []
        self._calls: frozenset[str] = frozenset()

    def tail_of(self, turn: Turn) -> int | None:
        """Return where the items begin that the socket has not seen; None when everything has to be sent."""
        if not self.latest_id or turn.shape != self._shape:
            return None
        at, digests = 0, turn.digests
        for digest, must_be_there in self._seen:
            if at < len(digests) and digests[at] == digest:
                at += 1
            elif must_be_there:
                return None
        tail = [item for item in turn.items[at:] if is_object(item)]
        answered = {str(item.get("call_id")) for item in tail if item.get("type") in _OUTPUTS}
        called = {str(item.get("call_id")) for item in tail if item.get("type") in _CALLS}
        is_answered = self._calls <= answered and answered <= self._calls | called
        return at if tail and is_answered else None

    def learn(self, turn: Turn, start: int | None, response_id: str, output: list[Any]) -> None:
        """Remember a turn that was completed, and was sent from `start` on."""
        known = [] if start is None else self._seen
        asked = [(digest, True) for digest in turn.digests[start:]]
        said = [(_digest(item), _is_replayed(item)) for item in output if is_object(item)]
        self._seen = known + asked + said
        self._shape = turn.shape
        self._calls = frozenset(
            str(item.get("call_id")) for item in output if is_object(item) and item.get("type") in _CALLS
        )
        self.latest_id = response_id

    def forget(self) -> None:
        """Nothing can be continued."""
        self.latest_id, self._seen = "", []


def _is_replayed(item: Json) -> bool:
    return item.get("type", "message") in _REPLAYED and item.get("content") != []


def _digest(item: Any) -> bytes:
    return _hash(jsonio.dumps(_essence(item) if is_object(item) else item))


def _essence(item: Json) -> Json:
    """Return what an item says to the model. Not deeper than parts: schemas and outputs of tools are the client's."""
    said = {key: value for key, value in sorted(item.items()) if key not in _SAYS_NOTHING and value not in (None, [])}
    kind = said.setdefault("type", "message")
    if kind == "message" and isinstance(said.get("content"), str):
        part = "output_text" if said.get("role") == "assistant" else "input_text"
        said["content"] = [{"type": part, "text": said["content"]}]
    for key in ("content", "summary"):
        if is_array(said.get(key)):
            said[key] = [_part(part) for part in said[key]]
    if kind == "function_call":
        said["arguments"] = _parsed(said.get("arguments"))
    return said


def _part(part: Any) -> Any:
    if not is_object(part):
        return part
    return {k: v for k, v in sorted(part.items()) if k not in _SAYS_NOTHING_IN_PARTS and v is not None}


def _parsed(arguments: Any) -> Any:
    """Clients parse arguments and write them again; the same call may have other spaces."""
    try:
        return jsonio.loads(arguments)
    except (ValueError, TypeError):
        return arguments


def _hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


# ---- what comes back ------------------------------------------------------------------------------------------------


def name_of(frame: bytes) -> bytes:
    """Return the type of an event."""
    name = sniff_name(frame)
    if not name:
        kind = (tolerant_object(frame) or {}).get("type")
        name = kind.encode(errors="replace") if isinstance(kind, str) else b""
    return name


def as_sse(name: bytes, frame: bytes) -> bytes:
    """Return an event as it would have come over HTTP."""
    return sse_frame(name, frame.replace(b"\n", b" ") if b"\n" in frame else frame)


def headers_of(name: bytes, frame: bytes) -> dict[str, str]:
    """Return the response headers that a metadata or rate-limit frame stands for (spec/wire.md §1.3.3, §4.10, §5.1)."""
    payload = tolerant_object(frame) or {}
    return _limit_headers(payload) if name == RATE_LIMITS else _plain(payload.get("headers"))


def refusal_of(frame: bytes) -> tuple[int, dict[str, str], bytes] | None:
    """Return status, headers and body of an error frame that stands for an HTTP answer; None for any other."""
    payload = tolerant_object(frame) or {}
    status = payload.get("status", payload.get("status_code"))
    if not isinstance(status, int) or status < 400:
        return None
    nested = payload.get("body")
    error = payload.get("error") or (nested.get("error") if is_object(nested) else None)
    if error is None:
        error = {key: payload[key] for key in ("code", "message", "param") if key in payload}
    headers = {**_plain(payload.get("headers")), "content-type": "application/json"}
    return status, headers, jsonio.dumps({"error": error}) if error else b""


def _plain(headers: Any) -> dict[str, str]:
    """Return headers whose values may be strings, numbers, booleans or lists; cookies stay where they are."""
    found: dict[str, str] = {}
    for name, value in headers.items() if is_object(headers) else ():
        value = value[-1] if is_array(value) and value else value
        if isinstance(value, str | int | float) and name.lower() != "set-cookie":
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if len(text) <= MAX_HEADER_CHARS and text.isprintable():
                found[name.lower()] = text
    return found


def _limit_headers(payload: Json) -> dict[str, str]:
    """Write the windows of a `codex.rate_limits` frame as the headers of an HTTP answer."""
    limit = str(payload.get("metered_limit_name") or payload.get("limit_name") or payload.get("limit_id") or "codex")
    family = "x-codex-code-review" if limit in _REVIEW_NAMES else f"x-{limit.replace('_', '-').lower()[:60]}"
    values: Json = {"x-codex-plan-type": payload.get("plan_type")}
    limits = payload.get("rate_limits")
    for which in ("primary", "secondary"):
        window = limits.get(which) if is_object(limits) else None
        if is_object(window):
            values |= {
                f"{family}-{which}-used-percent": window.get("used_percent"),
                f"{family}-{which}-window-minutes": window.get("window_minutes"),
                f"{family}-{which}-reset-at": window.get("reset_at", window.get("resets_at")),
                f"{family}-{which}-reset-after-seconds": window.get("reset_after_seconds"),
            }
    account_credits = payload.get("credits")
    if is_object(account_credits):
        for name in ("has_credits", "unlimited", "balance"):
            values[f"x-codex-credits-{name.replace('_', '-')}"] = account_credits.get(name)
    return _plain({name: value for name, value in values.items() if value is not None})
