"""How a client's frame becomes the request it would have been over HTTP, and the turn state of one socket. Pure.

`previous_response_id` stays in the body: the flow expands it from the journal, like any other.
Facts: spec/wire.md §1.3, §2.7; spec/clients.md §1.4. Next: `websocket.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from translation.errors import InvalidRequest
from translation.wire import jsonio
from translation.wire.jsontypes import is_object

TURN_STATE = "x-codex-turn-state"
_METADATA_HEADERS = (TURN_STATE, "x-openai-subagent", "x-codex-window-id", "x-codex-turn-metadata")
"""What travels as a header over HTTP and inside `client_metadata` on a socket (spec/wire.md §1.3.2)."""
_FRAME_ONLY = frozenset({"type", "generate", "background", "store"})
"""`store` as well: a client on a socket continues by id whatever it says, so the answer has to be kept."""
_HEADER_PREFIX = "ws_request_header_"
_SOCKET_ONLY = frozenset({TURN_STATE, "x-codex-ws-stream-request-start-ms", "traceparent", "tracestate"})


class Turn(Struct, kw_only=True):
    """One `response.create`: the fields as they would have come over HTTP, and what would have been headers."""

    fields: dict[str, Any]
    headers: dict[str, str]
    turn_id: str = ""
    is_warm_up: bool = False

    def body(self) -> bytes:
        """Return the request as it would have come over HTTP."""
        return jsonio.dumps(self.fields)


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


def read_frame(text: str) -> dict[str, Any]:
    """Return a client's message. Raises: InvalidRequest."""
    message = jsonio.loads_object(text.encode("utf-8", "surrogatepass"))
    if not isinstance(message.get("type"), str):
        raise InvalidRequest("A message needs a `type`; send `response.create`.", param="type")
    nested = message.get("response")
    if is_object(nested) and "model" not in message:
        return {**nested, "type": message["type"]}
    return message


def read_turn(message: dict[str, Any]) -> Turn:
    """Return the request of a `response.create`."""
    fields = {key: value for key, value in message.items() if key not in _FRAME_ONLY}
    fields["stream"] = True
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
    return Turn(fields=fields, headers=headers, turn_id=turn_id, is_warm_up=message.get("generate") is False)


def _headers(metadata: dict[str, Any]) -> dict[str, str]:
    headers = {name: metadata[name] for name in _METADATA_HEADERS if isinstance(metadata.get(name), str)}
    for key, value in metadata.items():
        if key.startswith(_HEADER_PREFIX) and isinstance(value, str):
            headers[key.removeprefix(_HEADER_PREFIX).replace("_", "-").lower()] = value
    return headers
