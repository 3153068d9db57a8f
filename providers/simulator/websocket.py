"""Responses over WebSocket: handshake, turns, continuation, lifetime (wire.md §1.3).

One call at a time per socket; `previous_response_id` is good only here and only for the latest response. Fault F15
bites here, all others through the same ladder as over HTTP. Next: `calls.py`, `playback.py`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import TYPE_CHECKING, Any

import orjson
from wsproto.connection import Connection as Framing
from wsproto.connection import ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from providers.simulator.accounts import SimAccount
from providers.simulator.calls import Prepared, authenticate, models_etag, prepare, status_failure, turn_state
from providers.simulator.events import Step
from providers.simulator.failures import FAILURES, Failure, Refused, Scene, detail, error, usage_limit
from providers.simulator.faults import Drawn, Fault
from providers.simulator.headers import edge_headers, spent_headers
from providers.simulator.http import Exchange
from providers.simulator.mischief import cut_at
from providers.simulator.playback import play
from providers.simulator.recorder import ReceivedRequest

if TYPE_CHECKING:
    from providers.simulator.server import Simulator

BETA = "responses_websockets=2026-02-06"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_IGNORED = ("response.append", "response.processed")
_LIMIT = error(
    "websocket_connection_limit_reached",
    "Responses websocket connection limit reached (60 minutes). Create a new websocket connection to continue.",
)
_REFUSALS = {
    "refuse_401": ("F4", "token_expired"),
    "refuse_403": ("F6", "challenge"),
    "refuse_426": ("F9", "426"),
    "refuse_429": ("F2", "s"),
    "refuse_503": ("F9", "503"),
}


async def open_socket(sim: Simulator, exchange: Exchange, record: ReceivedRequest) -> None:
    """Accept or refuse an upgrade."""
    account = authenticate(sim, exchange.header)
    sim.recorder.attribute(record, account.id)
    fault = sim.draw(record, account, only=frozenset({"F15"}), is_handshake=True).get("F15")
    if fault is not None:
        code, variant = _REFUSALS[fault.variant or "refuse_426"]
        raise Refused(FAILURES[code][variant](Scene(plan=account.plan)))
    if not sim.options.websockets:
        raise Refused(FAILURES["F9"]["426"](Scene()))
    beta = exchange.header("openai-beta") or ""
    if "responses_websockets=" not in beta:
        raise Refused(FAILURES["F9"]["426"](Scene()))
    if BETA not in beta:
        raise Refused(detail("Unsupported OpenAI-Beta value for websockets"))
    key = exchange.header("sec-websocket-key")
    if key is None or exchange.header("sec-websocket-version") != "13":
        raise Refused(Failure(426, {"detail": "Upgrade Required"}, [("sec-websocket-version", "13")]))
    extension = PerMessageDeflate()
    offered = exchange.header("sec-websocket-extensions") or ""
    agreed = next(
        (
            answer
            for offer in offered.split(",")
            if offer.strip().startswith("permessage-deflate")
            and (answer := extension.accept(offer.strip())) is not None
        ),
        None,
    )
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()  # noqa: S324 - RFC 6455 asks for it
    version = exchange.header("version")
    lines = [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-accept", accept),
        *edge_headers(sim.ids, sim.clock()),
        ("x-models-etag", models_etag(account, version)),
        ("x-reasoning-included", "true"),
    ]
    if agreed is not None:
        lines.append(("sec-websocket-extensions", f"permessage-deflate; {agreed}" if agreed else "permessage-deflate"))
        extension._enabled = True  # the handshake is ours, so wsproto never gets to set it
    head = "".join(f"{name}: {value}\r\n" for name, value in lines)
    exchange.connection.write(f"HTTP/1.1 101 Switching Protocols\r\n{head}\r\n".encode())
    exchange.status = 101
    sim.counters["websockets.opened"] += 1
    session = WebSocketSession(sim, exchange, account, record, extension if agreed is not None else None)
    exchange.connection.take_over(session)


class WebSocketSession:
    """One socket. Invariant: at most one turn is under way, and `latest_id` names the only response to continue."""

    def __init__(
        self,
        sim: Simulator,
        exchange: Exchange,
        account: SimAccount,
        record: ReceivedRequest,
        deflate: PerMessageDeflate | None,
    ) -> None:
        self.sim, self.exchange, self.account, self.record = sim, exchange, account, record
        self.framing = Framing(ConnectionType.SERVER, [deflate] if deflate else [])
        self.is_plain = deflate is None
        self.opened_at = sim.clock()
        self.latest_id: str | None = None
        self.history: list[Any] = []
        self.answers_pings = True
        self._parts: list[str] = []
        self._size = 0
        self._task: asyncio.Task[None] | None = None

    # Takeover

    def feed(self, data: bytes) -> None:
        """Take bytes from the client."""
        try:
            self.framing.receive_data(data)
            for event in self.framing.events():
                self._event(event)
        except (RemoteProtocolError, LocalProtocolError):
            self.close(1002)

    def lost(self) -> None:
        """Stop when the client is gone."""
        self.sim.counters["websockets.closed"] += 1
        if self._task is not None:
            self._task.cancel()

    def _event(self, event: Any) -> None:
        match event:
            case TextMessage():
                self._size += len(event.data)
                if self._size > self.sim.options.ws_message_limit:
                    self.close(1009)
                    return
                self._parts.append(event.data)
                if event.message_finished:
                    text, self._parts, self._size = "".join(self._parts), [], 0
                    self._message(text)
            case BytesMessage():
                self.close(1003)
            case Ping():
                if self.answers_pings:
                    self.exchange.connection.write(self.framing.send(event.response()))
            case Pong():
                self.sim.counters["websockets.pongs"] += 1
            case CloseConnection():
                self.exchange.connection.write(self.framing.send(event.response()))
                self.exchange.connection.hang_up()

    def close(self, code: int) -> None:
        """Close with a code; 1006 means without a word."""
        if code != 1006:
            try:
                self.exchange.connection.write(self.framing.send(CloseConnection(code=code, reason="")))
            except LocalProtocolError:
                pass
        self.exchange.connection.hang_up()

    def send_json(self, value: Any) -> None:
        """Send one frame."""
        self.send_text(orjson.dumps(value))

    def send_text(self, data: bytes) -> None:
        """Send one text frame; without compression the frame is built by hand, which is much faster."""
        if not self.is_plain:
            self.exchange.connection.write(self.framing.send(TextMessage(data=data.decode())))
            return
        size = len(data)
        if size < 126:
            head = bytes((0x81, size))
        elif size < 65_536:
            head = b"\x81\x7e" + size.to_bytes(2, "big")
        else:
            head = b"\x81\x7f" + size.to_bytes(8, "big")
        self.exchange.connection.write(head + data)

    # messages

    def _message(self, text: str) -> None:
        record = ReceivedRequest(
            "WS",
            self.record.path,
            self.record.query,
            self.record.headers,
            text.encode(),
            self.record.connection_id,
            self.sim.clock(),
            route="websocket",
        )
        self.sim.recorder.add(record)
        self.sim.recorder.attribute(record, self.account.id)
        try:
            body = orjson.loads(text)
            kind = body["type"]
        except (ValueError, KeyError, TypeError):
            self._fail(detail("Invalid websocket message"))
            return
        if kind in _IGNORED:
            return
        if kind != "response.create":
            self._fail(error("invalid_value", f"Unknown websocket message type: {kind}", param="type"))
            return
        if self._task is not None and not self._task.done():
            self.sim.counters["violation.concurrent_turn"] += 1
            self._fail(error("websocket_request_in_progress", "A response is already in progress on this websocket."))
            return
        self._task = asyncio.get_running_loop().create_task(self._turn(body, record))

    def _fail(self, failure: Failure, faults: Drawn | None = None) -> None:
        """Send an error frame; a failed continuation evicts what could be continued."""
        self.latest_id, self.history = None, []
        frame = failure.frame()
        if failure.status == 429:
            frame["headers"] |= dict(spent_headers(self.account, self.sim.clock(), faults or Drawn()))
        self.send_json(frame)

    def _header(self, body: dict[str, Any], name: str) -> str | None:
        metadata = body.get("client_metadata")
        if name.startswith("x-codex-turn") and isinstance(metadata, dict):
            return metadata.get(name)
        return self.exchange.header(name)

    async def _turn(self, body: dict[str, Any], record: ReceivedRequest) -> None:
        sim = self.sim
        faults = sim.draw(record, self.account)
        with sim.in_flight(self.account):
            if sim.clock() - self.opened_at >= sim.options.ws_lifetime_s:
                self._fail(_LIMIT)
                self.close(1000)
                return
            failure = status_failure(sim, faults, self.account, body)
            if failure is None and sim.is_crowded(self.account):
                failure = FAILURES["F2"]["s"](Scene(plan=self.account.plan))
            if failure is not None:
                self._fail(failure, faults)
                return
            try:
                authenticate(sim, self.exchange.header)
                history = self._continue(body)
                call = prepare(
                    sim,
                    self.account,
                    body,
                    faults,
                    surface="websocket",
                    history=history,
                    header=lambda name: self._header(body, name),
                )
            except Refused as refused:
                self._fail(refused.failure, faults)
                return
            record.faults = faults.names
            record.status = 200
            await self._answer(body, call, history)

    def _continue(self, body: dict[str, Any]) -> list[Any]:
        previous = body.get("previous_response_id")
        items = body.get("input")
        if not isinstance(items, list):
            raise Refused(detail("Input must be a list"))
        if previous is None:
            return items
        if previous != self.latest_id:
            raise Refused(
                error(
                    "previous_response_not_found",
                    f"Previous response with id '{previous}' not found.",
                    param="previous_response_id",
                )
            )
        self.sim.counters["websockets.continued"] += 1
        return [*self.history, *items]

    async def _answer(self, body: dict[str, Any], call: Prepared, history: list[Any]) -> None:
        sim = self.sim
        fault = call.faults.get("F15")
        cut = call.faults.get("F12")
        if cut is not None and cut.after == "start" and (cut.has("fin") or cut.has("rst")):
            (self.exchange.connection.reset if cut.has("rst") else self.exchange.connection.hang_up)()
            return
        if fault is not None and fault.after == "start" and await self._odd_start(fault):
            return
        mute = call.faults.get("F13")
        if mute is not None and mute.has("no_headers"):
            await asyncio.sleep(float(mute.params.get("seconds", 30)))
        await asyncio.sleep(call.plan.wait_s + sim.options.first_event_s)
        self._metadata(body, call)
        if fault is not None and fault.has("metadata_silence"):
            await asyncio.sleep(float(fault.params.get("seconds", 40)))
        ladder = call.ladder
        late_end = fault is not None and (fault.variant or "").startswith(("close_", "limit"))
        if fault is not None and late_end:
            ladder = ladder[: cut_at(ladder, fault.after)]
        sim.counters["streams.started"] += 1
        outcome = "aborted_by_client"
        try:
            is_whole = await play(ladder, SocketSink(self)) and not late_end
            outcome = "completed" if is_whole else "broken_off"
        finally:
            sim.counters[f"streams.{outcome}"] += 1
        if fault is not None and late_end:
            await self._odd_end(fault)
        if (
            is_whole
            and isinstance(ladder[-1], Step)
            and ladder[-1].type in ("response.completed", "response.incomplete")
        ):
            self.latest_id = call.script.response["id"]
            self.history = [*history, *call.script.items]
        else:
            self.latest_id, self.history = None, []

    def _metadata(self, body: dict[str, Any], call: Prepared) -> None:
        account, now = self.account, self.sim.clock()
        if not ("F18" in call.faults and call.faults["F18"].has("missing")):
            main = account.bucket
            self.send_json(
                {
                    "type": "codex.rate_limits",
                    "plan_type": account.plan,
                    "rate_limits": {
                        "allowed": main.blocking(now) is None,
                        "limit_reached": main.blocking(now) is not None,
                        "primary": main.primary.event_json(now) if main.primary else None,
                        "secondary": main.secondary.event_json(now) if main.secondary else None,
                    },
                    "code_review_rate_limits": None,
                    "additional_rate_limits": {
                        "Spark": {"primary": account.spark.primary.event_json(now) if account.spark.primary else None}
                    },
                    "credits": {
                        "has_credits": account.credits.has_credits,
                        "unlimited": account.credits.is_unlimited,
                        "balance": account.credits.balance,
                    },
                    "metered_limit_name": None,
                    "limit_name": None,
                    "promo": None,
                }
            )
        headers: dict[str, Any] = {
            "openai-model": call.served_model,
            "x-models-etag": models_etag(account, self.exchange.header("version")),
        }
        issued = turn_state(self.sim, account, self._header(body, "x-codex-turn-state"))
        if issued is not None:
            headers["x-codex-turn-state"] = issued
        self.send_json({"type": "codex.response.metadata", "headers": headers})

    async def _odd_start(self, fault: Fault) -> bool:
        """Do what F15 asks instead of answering; return False when the answer shall follow."""
        variant = fault.variant or ""
        spent = usage_limit(Scene(plan=self.account.plan, now=self.sim.clock())).frame()
        match variant:
            case "status_code":
                spent["status_code"] = spent.pop("status")
                self.send_json(spent)
            case "body_error":
                self.send_json({"type": "error", "status": 429, "body": {"error": spent["error"]}})
            case "top_level":
                self.send_json(
                    {
                        "type": "error",
                        "code": "server_is_overloaded",
                        "param": None,
                        "message": "Our servers are currently overloaded. Please try again later.",
                    }
                )
            case "binary":
                self.exchange.connection.write(self.framing.send(BytesMessage(data=b'{"type":"response.created"}')))
            case "no_pong":
                self.answers_pings = False
                return False
            case "metadata_silence":
                return False
            case _:
                await self._odd_end(fault)
        return True

    async def _odd_end(self, fault: Fault) -> None:
        variant = fault.variant or ""
        if variant == "limit":
            self._fail(_LIMIT)
            self.close(1000)
        elif variant.startswith("close_"):
            await self.exchange.drain()
            await asyncio.sleep(0.01)
            self.close(int(variant.removeprefix("close_")))


class SocketSink:
    """Events as text frames."""

    def __init__(self, session: WebSocketSession) -> None:
        self.session = session

    @property
    def is_closed(self) -> bool:
        """Whether the client is gone."""
        return self.session.exchange.connection.is_closed

    def send(self, steps: list[Step]) -> None:
        """Send each event as a frame."""
        for step in steps:
            self.session.send_text(step.data)

    def partial(self, data: bytes) -> None:
        """A frame cannot be half sent in a way a client would see."""

    async def drain(self) -> None:
        """Wait for the peer."""
        await self.session.exchange.drain()

    def end(self) -> None:
        """Close the socket properly."""
        self.session.close(1000)

    def hang_up(self) -> None:
        """Close the connection without a close frame."""
        self.session.exchange.connection.hang_up()

    def reset(self) -> None:
        """Reset the connection."""
        self.session.exchange.connection.reset()
