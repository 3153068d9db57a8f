"""What one socket remembers between turns, and how a client's frame becomes a whole request. Pure.

The upstream leg is HTTP, which knows no `previous_response_id`: the items of the latest response are kept here, as the
bytes they are sent in, and a turn that continues it is expanded to the full input. Any other id is left in the body
for the flow to refuse. Facts: spec/wire.md §1.3, §2.7; spec/clients.md §1.4. Next: `websocket.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from translation.errors import InvalidRequest
from translation.wire import jsonio
from translation.wire.jsontypes import is_array, is_object

MAX_HISTORY_BYTES = 32 * 1024 * 1024
"""Of one socket; twice what the backend itself takes in one message (spec/wire.md §1.3.5)."""
MAX_TOTAL_BYTES = 512 * 1024 * 1024
"""Of all sockets of the process. What does not fit is forgotten, and its client sends everything again."""

TRIGGER_BYTES = 200
TURN_STATE = "x-codex-turn-state"
_METADATA_HEADERS = (TURN_STATE, "x-openai-subagent", "x-codex-window-id", "x-codex-turn-metadata")
"""What travels as a header over HTTP and inside `client_metadata` on a socket (spec/wire.md §1.3.2)."""
_HEADER_PREFIX = "ws_request_header_"
_SOCKET_ONLY = frozenset({TURN_STATE, "x-codex-ws-stream-request-start-ms", "traceparent", "tracestate"})


class Turn(Struct, kw_only=True):
    """One `response.create`: the fields as they came, the whole input as serialized items (None: it is no list)."""

    fields: dict[str, Any]
    items: list[bytes] | None
    headers: dict[str, str]
    turn_id: str = ""
    is_warm_up: bool = False

    def body(self) -> bytes:
        """Return the request as it would have come over HTTP."""
        if self.items is None:
            return jsonio.dumps(self.fields)  # the codec says what is wrong with it, or takes `messages`
        return b'%b,"input":[%b]}' % (jsonio.dumps(self.fields)[:-1], b",".join(self.items))


class HistoryBudget:
    """How many bytes all histories of the process may hold together."""

    __slots__ = ("left",)

    def __init__(self, total: int = MAX_TOTAL_BYTES) -> None:
        self.left = total


class History:
    """What made the latest response and what it said. Invariant: `items` are a legal input that ends with it."""

    __slots__ = ("_budget", "_limit", "items", "latest_id", "size")

    def __init__(self, budget: HistoryBudget, limit: int = MAX_HISTORY_BYTES) -> None:
        self._budget = budget
        self._limit = limit
        self.latest_id = ""
        self.items: list[bytes] = []
        self.size = 0

    def keep(self, response_id: str, items: list[bytes]) -> None:
        """Remember a response that has just ended; one that is too large is forgotten."""
        self.forget()
        items = [item for item in items if not _is_trigger(item)]  # it asked once; kept, it would ask every time
        size = sum(map(len, items))
        if not response_id or size > min(self._limit, self._budget.left):
            return
        self.latest_id, self.items, self.size = response_id, items, size
        self._budget.left -= size

    def forget(self) -> None:
        """Give the memory back."""
        self._budget.left += self.size
        self.latest_id, self.items, self.size = "", [], 0


class StickyState:
    """The upstream's turn state: sent back within one turn of the client, forgotten with the next (wire.md §2.7).

    Over HTTP clients echo it themselves; on a socket the connection stands for it.
    """

    __slots__ = ("_turn_id", "_value")

    def __init__(self, value: str = "") -> None:
        self._value = value
        self._turn_id = ""

    def header(self, turn_id: str) -> dict[str, str]:
        """Return the header for a request of `turn_id`."""
        if not turn_id or (self._turn_id and turn_id != self._turn_id):
            self._value = ""
        self._turn_id = turn_id
        return {TURN_STATE: self._value} if self._value else {}

    def learn(self, headers: Mapping[str, str]) -> None:
        """Keep what an answer issued."""
        self._value = headers.get(TURN_STATE) or self._value


def _is_trigger(item: bytes) -> bool:
    return len(item) < TRIGGER_BYTES and b'"compaction_trigger"' in item


def read_frame(text: str) -> dict[str, Any]:
    """Return a client's message. Raises: InvalidRequest."""
    message = jsonio.loads_object(text.encode("utf-8", "surrogatepass"))
    if not isinstance(message.get("type"), str):
        raise InvalidRequest("A message needs a `type`; send `response.create`.", param="type")
    nested = message.get("response")
    if is_object(nested) and "model" not in message:
        return {**nested, "type": message["type"]}
    return message


def read_turn(message: dict[str, Any], history: History) -> Turn:
    """Return the request of a `response.create`, expanded when it continues the latest response."""
    fields = {key: value for key, value in message.items() if key not in ("type", "generate", "background")}
    fields["stream"] = True
    continues = history.latest_id and fields.get("previous_response_id") == history.latest_id
    given = fields.get("input")
    if given is None and continues and fields.get("messages") is None:
        given = []  # an empty tail is legal after a warm-up
    items = _items(given)
    if items is not None:
        fields.pop("input", None)
        if continues:
            del fields["previous_response_id"]
            items = history.items + items
    metadata = fields.get("client_metadata")
    headers, turn_id = {}, ""
    if is_object(metadata):
        headers = _headers(metadata)
        turn_id = str(metadata.get("turn_id") or "")
        fields["client_metadata"] = {
            key: value
            for key, value in metadata.items()
            if key not in _SOCKET_ONLY and not key.startswith(_HEADER_PREFIX)
        }
    return Turn(
        fields=fields, items=items, headers=headers, turn_id=turn_id, is_warm_up=message.get("generate") is False
    )


def _items(given: Any) -> list[bytes] | None:
    """Return the items of an `input`, serialized; None when it is nothing that could be one."""
    if isinstance(given, str):
        given = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    elif is_object(given):
        given = [given]
    return [jsonio.dumps(item) for item in given] if is_array(given) else None


def _headers(metadata: dict[str, Any]) -> dict[str, str]:
    headers = {name: metadata[name] for name in _METADATA_HEADERS if isinstance(metadata.get(name), str)}
    for key, value in metadata.items():
        if key.startswith(_HEADER_PREFIX) and isinstance(value, str):
            headers[key.removeprefix(_HEADER_PREFIX).replace("_", "-").lower()] = value
    return headers
