"""The ChatGPT Codex backend: where it is, how it is signed, what its failures and limit headers mean.

`build` follows the header order of the current official CLI (spec/wire.md §2.1, spec/clients.md §1.2); `errors.py`
classifies after §6, `limits.py` reads §5.1. No translation here: the codec speaks the wire.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping

from providers.adapters.codex.account_calls import usage_from, usage_request
from providers.adapters.codex.errors import classify
from providers.adapters.codex.limits import LIMITS_EVENT, frame_limits, read_limits
from providers.contract import Conversation, Credential, RateLimits, SocketCall, Target, UpstreamRequest
from translation.errors import GatewayError

CLIENT_VERSION = "0.169.0"
"""The official CLI whose header set this adapter follows; checked 2026-11."""
ORIGINATOR = "codex_cli_rs"
USER_AGENT = f"{ORIGINATOR}/{CLIENT_VERSION} (Debian 12.0.0; x86_64) unknown"
IDENTITY = (("originator", ORIGINATOR), ("user-agent", USER_AGENT))
"""The headers that name the client; every call of an account bears them."""

SUBAGENTS = ("review", "compact", "memory_consolidation", "collab_spawn")
"""Labels of `x-openai-subagent` that are passed on; anything else a client sends is ignored (edge case 206)."""
LITE_HEADER = "x-openai-internal-codex-responses-lite"
RELAYED_REQUEST_HEADERS = ("x-codex-beta-features", "x-codex-turn-state")
ACCOUNT_BOUND_HEADERS = ("x-codex-turn-state",)
"""Issued by an account for one turn; they go back only while the conversation stays on it (spec/wire.md §2.7)."""
SOCKET_BETA = "responses_websockets=2026-02-06"
METADATA_HEADERS = ("x-codex-turn-state", "x-codex-window-id", "x-openai-subagent")
"""Headers that may change with every request; on a socket they are in `client_metadata` (spec/wire.md §1.3.2)."""
SOCKET_HEADERS = (
    "x-codex-beta-features", "x-client-request-id", "session-id", "thread-id", "x-codex-window-id", "x-openai-subagent",
    "openai-beta", "originator", "user-agent", "authorization", "chatgpt-account-id", "x-openai-fedramp",
)  # fmt: skip
"""The handshake's, in the official order (spec/wire.md §2.4)."""
RELAYED_RESPONSE_PREFIXES = ("x-codex-", "x-models-etag", "openai-model", "x-reasoning-included")


class CodexProvider:
    """Implements `providers.contract.Provider` for the Codex backend at `base_url`."""

    name = "codex"
    codec = "openai-responses"

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._responses_url = f"{base_url}/codex/responses"

    def build(self, body: bytes, credential: Credential, target: Target, conversation: Conversation) -> UpstreamRequest:
        """Sign `body`; see the contract. `authorization` and `content-type` are the backend's only hard demands."""
        key, client = conversation.key, conversation.headers
        headers: list[tuple[str, str]] = []
        for name in RELAYED_REQUEST_HEADERS:
            value = client.get(name)
            if value and (conversation.keeps_account or name not in ACCOUNT_BOUND_HEADERS):
                headers.append((name, value))
        headers.append(("x-codex-window-id", f"{key}:{_window_number(client)}"))
        subagent = client.get("x-openai-subagent")
        if subagent in SUBAGENTS:
            headers.append(("x-openai-subagent", subagent))
        if client.get(LITE_HEADER):
            headers.append((LITE_HEADER, client[LITE_HEADER]))
        headers += (
            ("x-client-request-id", key),
            ("session-id", key),
            ("thread-id", key),
            *(() if target.operation == "compact" else (("accept", "text/event-stream"),)),
            ("content-type", "application/json"),
            ("authorization", f"Bearer {credential.token.reveal()}"),
        )
        if credential.upstream_account_id:
            headers.append(("chatgpt-account-id", credential.upstream_account_id))
        if credential.is_fedramp:
            headers.append(("x-openai-fedramp", "true"))
        headers += IDENTITY
        url = f"{self._responses_url}/compact" if target.operation == "compact" else self._responses_url
        may_use_socket = conversation.may_use_socket and conversation.keeps_account and target.operation == "respond"
        return UpstreamRequest(
            method="POST", url=url, headers=tuple(headers), body=body,
            socket=self._socket_call(dict(headers), credential, conversation) if may_use_socket else None,
        )  # fmt: skip

    def _socket_call(
        self, headers: Mapping[str, str], credential: Credential, conversation: Conversation
    ) -> SocketCall:
        """Say how the same request leaves over the conversation's WebSocket."""
        known = {**headers, "openai-beta": SOCKET_BETA}
        metadata = {name: headers[name] for name in METADATA_HEADERS if name in headers}
        if LITE_HEADER in headers:
            metadata[f"ws_request_header_{LITE_HEADER.replace('-', '_')}"] = headers[LITE_HEADER]
        return SocketCall(
            url=f"ws{self._responses_url.removeprefix('http')}",
            headers=tuple((name, known[name]) for name in SOCKET_HEADERS if name in known),
            account=credential.scope,
            authorization=headers["authorization"],
            conversation=conversation.key,
            metadata=metadata,
        )

    def classify(self, status: int, headers: Mapping[str, str], body: bytes, now_s: float) -> GatewayError:
        """See the contract."""
        return classify(status, headers, body, now_s)

    def limits(self, headers: Mapping[str, str], now_s: float) -> RateLimits | None:
        """See the contract."""
        return read_limits(headers, now_s)

    def told_limits(self, asides: Mapping[str, bytes], now_s: float) -> RateLimits | None:
        """See the contract."""
        data = asides.get(LIMITS_EVENT)
        return frame_limits(data, now_s) if data is not None else None

    def limits_request(self, credential: Credential) -> UpstreamRequest:
        """See `KnowsLimits`."""
        return usage_request(self._base_url, credential, IDENTITY)

    def limits_answer(self, body: bytes, now_s: float) -> RateLimits | None:
        """See `KnowsLimits`."""
        return usage_from(body, now_s)

    def relayed_headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return limits, turn state and model headers; nothing that identifies the account or the edge."""
        return {name: value for name, value in headers.items() if name.startswith(RELAYED_RESPONSE_PREFIXES)}


def conversation_key(scope: str, client_key: str) -> str:
    """Return the id under which one account sees a conversation: stable, and different for every account.

    The client's own key never leaves, so that the same conversation on two accounts shares no identifier
    (spec/wire.md §2.2).
    """
    digest = hashlib.sha256(f"conversation\0{scope}\0{client_key}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def _window_number(client: Mapping[str, str]) -> str:
    """Codex clients count their context windows after the colon; everyone else is in the first."""
    number = client.get("x-codex-window-id", "").rpartition(":")[2]
    return number if number.isdecimal() and len(number) < 6 else "0"
