"""A stage for the flow: a scripted upstream ("upstream says"), a recording client ("client sees"), no sockets.

    play = Play("chat")
    play.upstream.answers().sends(CREATED).sends(text("Hi")).sends(completed()).closes()
    client = await play.ask(stream=True)

Time is virtual (see `conftest.py`): waiting costs nothing. Every operation of the stage really suspends, so that a
request can be cancelled anywhere. Read next: `test_playbooks.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from accounts.crypto import KeyRing
from accounts.health import Penalty
from accounts.keys import digest
from accounts.pool import AccountPool
from accounts.values import AccountReport, AccountView, ApiKeyView
from codexproxy.gateway.flow import Gateway
from codexproxy.gateway.journal import Journal
from codexproxy.gateway.snapshot import GatewaySettings, Snapshot, SnapshotStore
from codexproxy.gateway.state.contract import Candidate, Grant
from codexproxy.gateway.state.memory import MemoryState
from codexproxy.gateway.tokenizer import Tokenizer
from codexproxy.gateway.types import ClientRequest
from providers.adapters.codex import CodexProvider
from providers.catalog import bundled_models
from providers.contract import Credential, Secret, UpstreamRequest
from stats.meter import UsageQueue, UsageRecord
from tests.dialects import DIALECTS, Failure, events_of
from translation import registry
from translation.errors import UpstreamUnreachable
from translation.wire.ids import counting_ids

NOW = 1_800_000_000.0
KEY = "cpx-0123456789abcdef0123456789abcdef"


# ---- what the upstream can say --------------------------------------------------------------------------------------


def event(name: str, **fields: Any) -> bytes:
    """One SSE frame as the Codex backend writes it."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), orjson.dumps({"type": name, **fields}))


CREATED = event(
    "response.created", response={"id": "resp_up", "object": "response", "status": "in_progress", "output": []}
)
ITEM = event(
    "response.output_item.added", output_index=0,
    item={"id": "msg_1", "type": "message", "status": "in_progress", "role": "assistant", "content": []},
) + event(
    "response.content_part.added", item_id="msg_1", output_index=0, content_index=0,
    part={"type": "output_text", "annotations": [], "text": ""},
)  # fmt: skip


def text(piece: str) -> bytes:
    """A delta of the one message that `ITEM` opened."""
    return event("response.output_text.delta", item_id="msg_1", output_index=0, content_index=0, delta=piece)


def completed(said: str = "", *, input_tokens: int = 18, output_tokens: int = 20) -> bytes:
    """The end of a message `said`, or of an answer without any output when it is empty."""
    usage = {
        "input_tokens": input_tokens, "input_tokens_details": {"cached_tokens": 8},
        "output_tokens": output_tokens, "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": input_tokens + output_tokens,
    }  # fmt: skip
    done = b""
    if said:
        content = [{"type": "output_text", "annotations": [], "text": said}]
        item = {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": content}
        done = event("response.output_item.done", output_index=0, item=item)
    response = {"id": "resp_up", "object": "response", "status": "completed", "output": [], "usage": usage}
    return done + event("response.completed", response=response)


def failed(code: str, message: str = "They said so.", **fields: Any) -> bytes:
    """A failure inside the stream."""
    error = {"code": code, "message": message, **fields}
    return event(
        "response.failed", response={"id": "resp_up", "object": "response", "status": "failed", "error": error}
    )


HELLO = CREATED + ITEM + text("Hel") + text("lo") + completed("Hello")

LIMIT = {
    "error": {"type": "usage_limit_reached", "message": "The usage limit has been reached", "resets_in_seconds": 5400}
}
EXPIRED = {"error": {"code": "token_expired", "message": "expired"}}
OVERLOADED = {"error": {"code": "server_is_overloaded", "message": "overloaded"}}
CAPACITY = {"detail": "Selected model is at capacity. Please try a different model."}
NO_MODEL = {"detail": "The 'gpt-5.5' model is not supported when using Codex with a ChatGPT account."}
CHALLENGE = b"<html>Just a moment...</html>"


class Answer:
    """What one upstream call gets; the methods script it in order and may be chained."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        self.headers = headers
        self.steps: list[Callable[[], Awaitable[bytes | None]]] = []
        self.open_error: Exception | None = None
        self.opens_after: Callable[[], Awaitable[None]] | None = None

    def sends(self, data: bytes) -> Answer:
        """Give a chunk."""

        async def step() -> bytes:
            await asyncio.sleep(0)
            return data

        self.steps.append(step)
        return self

    def pauses(self, seconds: float) -> Answer:
        """Say nothing for a while before the next step."""

        async def step() -> None:
            await asyncio.sleep(seconds)

        self.steps.append(step)
        return self

    def does(self, action: Callable[[], None]) -> Answer:
        """Let something happen in the world, then go on with the next step."""

        async def step() -> None:
            action()

        self.steps.append(step)
        return self

    def breaks(self) -> Answer:
        """Reset the connection."""

        async def step() -> bytes:
            await asyncio.sleep(0)
            raise UpstreamUnreachable("The upstream broke the connection.")

        self.steps.append(step)
        return self

    def hangs(self) -> Answer:
        """Never say anything again."""

        async def step() -> bytes:
            await asyncio.get_running_loop().create_future()
            raise AssertionError("unreachable")

        self.steps.append(step)
        return self

    def closes(self) -> Answer:
        """End the body; what an answer does anyway when its script is over."""
        return self


class ScriptedStream:
    """Implements `providers.contract.UpstreamStream` from an `Answer`."""

    def __init__(self, answer: Answer) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.is_at_end = False
        self.closings = 0
        self._answer = answer
        self._position = 0

    async def read(self) -> bytes:
        """Perform the next steps, up to one that says something."""
        assert not self.closings, "read after close"
        data: bytes | None = None
        while data is None:
            if self._position < len(self._answer.steps):
                self._position += 1
                data = await self._answer.steps[self._position - 1]()
            else:
                await asyncio.sleep(0)
                data = b""
        self.is_at_end = not data
        return data

    async def close(self) -> None:
        """Count; the connection is gone from now on."""
        self.closings += 1
        await asyncio.sleep(0)


class Upstream:
    """Implements `providers.contract.Transport`; answers in the scripted order."""

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.requests: list[UpstreamRequest] = []
        self.egresses: list[str | None] = []
        self.streams: list[ScriptedStream] = []

    def answers(self, status: int = 200, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Add an answer; a `body` is sent as JSON at once."""
        answer = Answer(status, {"content-type": "text/event-stream", **(headers or {})})
        self.script.append(answer)
        if body is not None:
            answer.sends(body if isinstance(body, bytes) else orjson.dumps(body))
        return answer

    def cannot_be_reached(self) -> None:
        """Add a connection that fails."""
        self.answers().open_error = UpstreamUnreachable("The upstream could not be reached.")

    def never_answers(self) -> None:
        """Add a connection on which no headers ever come."""

        async def wait() -> None:
            await asyncio.get_running_loop().create_future()

        self.answers().opens_after = wait

    async def open(self, request: UpstreamRequest, egress: str | None) -> ScriptedStream:
        """Hand out the next answer."""
        self.requests.append(request)
        self.egresses.append(egress)
        await asyncio.sleep(0)
        assert self.script, "the flow called the upstream more often than the playbook says"
        answer = self.script.pop(0)
        if answer.opens_after is not None:
            await answer.opens_after()
        if answer.open_error is not None:
            raise answer.open_error
        stream = ScriptedStream(answer)
        self.streams.append(stream)
        return stream

    @property
    def tokens(self) -> list[str]:
        """The access token of every call, in order."""
        return [dict(request.headers)["authorization"].removeprefix("Bearer ") for request in self.requests]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The JSON of every call, in order."""
        return [orjson.loads(request.body) for request in self.requests]


# ---- what the client sees -------------------------------------------------------------------------------------------


class Client:
    """Implements `gateway.types.ClientStream`; refuses whatever HTTP would refuse."""

    def __init__(self) -> None:
        self.started = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self.writes: list[bytes] = []
        self.times: list[float] = []
        self.ended = False

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """See the contract."""
        assert not self.started, "a second status line"
        self.started = True
        self.status, self.headers = status, dict(headers)
        assert all(name == name.lower() for name in headers)
        await asyncio.sleep(0)

    async def write(self, data: bytes) -> None:
        """See the contract."""
        assert self.started and not self.ended, "bytes outside of the body"
        assert data, "an empty write"
        self._keep(data)
        await asyncio.sleep(0)

    async def end(self, data: bytes) -> None:
        """See the contract."""
        assert self.started and not self.ended, "a second end"
        if data:
            self._keep(data)
        self.ended = True
        await asyncio.sleep(0)

    async def reply(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """See the contract."""
        await self.start(status, headers)
        await self.end(body)

    def _keep(self, data: bytes) -> None:
        self.writes.append(data)
        self.times.append(asyncio.get_running_loop().time())

    # ---- reading it

    @property
    def body(self) -> bytes:
        """Everything after the headers."""
        return b"".join(self.writes)

    @property
    def json(self) -> dict[str, Any]:
        """The body of an answer that is no stream."""
        return orjson.loads(self.body)

    @property
    def media_type(self) -> str:
        """What the answer's headers say its body is."""
        return self.headers.get("content-type", "")

    def events(self) -> list[dict[str, Any]]:
        """The JSON of every event of a stream, or of the one answer."""
        return events_of(self.body, self.media_type)

    @property
    def text(self) -> str:
        """The text of a stream or an answer, in whichever dialect: what one says, no other reads."""
        return "".join(dialect.piece(each) for each in self.events() for dialect in DIALECTS.values())

    @property
    def failure(self) -> Failure | None:
        """The error the client was told, as an answer or inside the stream."""
        for each in self.events():
            for dialect in DIALECTS.values():
                found = dialect.failure(each)
                if found is not None:
                    return found
        return None

    @property
    def error(self) -> dict[str, Any] | None:
        """The fields of that error."""
        failure = self.failure
        return None if failure is None else {"message": failure.message, **failure.fields}

    @property
    def heartbeats(self) -> int:
        """How many writes said nothing: comments, pings, blank lines, empty lines of JSON."""
        return sum(
            data.startswith((b":", b"event: ping"))
            or data == b"\n\n"
            or data.endswith(b'"content":""},"done":false}\n')
            for data in self.writes
        )


class SlowState(MemoryState):
    """The in-memory state with a suspension in every operation, like one that lives on a server."""

    async def acquire(self, *args: Any, **kwargs: Any) -> Grant | None:
        """Suspend, then do it."""
        await asyncio.sleep(0)
        return await super().acquire(*args, **kwargs)

    async def cool(self, *args: Any, **kwargs: Any) -> None:
        """Suspend, then do it."""
        await asyncio.sleep(0)
        await super().cool(*args, **kwargs)

    async def count(self, *args: Any, **kwargs: Any) -> int:
        """Suspend, then do it."""
        await asyncio.sleep(0)
        return await super().count(*args, **kwargs)

    async def remember(self, *args: Any, **kwargs: Any) -> None:
        """Suspend, then do it."""
        await asyncio.sleep(0)
        await super().remember(*args, **kwargs)

    async def recall(self, *args: Any, **kwargs: Any) -> str | None:
        """Suspend, then do it."""
        await asyncio.sleep(0)
        return await super().recall(*args, **kwargs)

    async def forget(self, *args: Any, **kwargs: Any) -> None:
        """Suspend, then do it."""
        await asyncio.sleep(0)
        await super().forget(*args, **kwargs)


def account(name: str, token: str = "", **fields: Any) -> AccountView:
    """An account called `name` whose token is `token-<name>`."""
    credential = Credential(token=Secret(token or f"token-{name}"), scope=name, upstream_account_id=f"ws-{name}")
    return AccountView(id=name, provider="codex", credential=credential, **fields)


class Play:
    """A gateway on the stage, for clients of one dialect."""

    def __init__(self, dialect: str = "chat", accounts: tuple[AccountView, ...] | None = None, **settings: Any) -> None:
        self.dialect = dialect
        self.upstream = Upstream()
        self.state = SlowState()
        self.journal = Journal(self.state, KeyRing(["0" * 32]), clock=lambda: NOW)
        self.usage = UsageQueue()
        self.reports: list[AccountReport] = []
        self.penalties: list[tuple[str, Penalty]] = []
        self.refreshed: list[str] = []
        self.refresh: Callable[[str], bool] = lambda _: False
        self.key = ApiKeyView(id=7, user_id=3, name="laptop", prefix=KEY[:12])
        self.store = SnapshotStore(
            Snapshot(
                keys={digest(KEY): self.key}, models=bundled_models(), settings=GatewaySettings(**settings),
                accounts=accounts if accounts is not None else (account("a"), account("b"), account("c")),
            )
        )  # fmt: skip
        self.known_accounts = {each.id for each in self.store.current.accounts}
        self.gateway = Gateway(
            snapshots=self.store, state=self.state, usage=self.usage, transport=self.upstream,
            pool=AccountPool(self.state, Candidate, lambda *fact: self.penalties.append(fact), lease_ttl_s=900),
            providers={"codex": CodexProvider("https://upstream.example")},
            on_report=self.reports.append, refresher=self._refresher, journal=self.journal,
            clock=lambda: NOW, ids=counting_ids(),
        )  # fmt: skip
        self.gateway.tokenizer = Tokenizer(("/no/such/tokenizer",))  # a stage starts no processes: counts are estimates

    async def _refresher(self, account_id: str) -> bool:
        self.refreshed.append(account_id)
        await asyncio.sleep(0)
        return self.refresh(account_id)

    def renew(self, account_id: str) -> bool:
        """A refresh that works: the snapshot gets a new token for the account."""
        self.change(
            accounts=tuple(
                account(each.id, token=f"renewed-{each.id}") if each.id == account_id else each
                for each in self.store.current.accounts
            )
        )
        return True

    def change(self, **fields: Any) -> None:
        """Swap the snapshot."""
        current = self.store.current
        values = {name: getattr(current, name) for name in current.__struct_fields__}
        self.store.current = Snapshot(**{**values, **fields})

    def body(self, *, stream: bool, **fields: Any) -> bytes:
        """The body of a small request in the client's dialect."""
        return DIALECTS[self.dialect].request(stream=stream, **fields).body

    def generate(
        self, client: Client, *, stream: bool, raw: bytes | None = None, headers: dict[str, str] | None = None,
        key: ApiKeyView | None = None, **fields: Any,
    ) -> Any:  # fmt: skip
        """Return the coroutine of one request."""
        dialect = DIALECTS[self.dialect]
        request = dialect.request(stream=stream, raw=raw, headers=headers, **fields)
        return self.gateway.generate(registry.get(dialect.codec), key or self.key, request, client)

    async def ask(self, *, stream: bool = True, **fields: Any) -> Client:
        """Make one request and check what must hold after every request, whatever happened."""
        client = Client()
        await asyncio.create_task(self.generate(client, stream=stream, **fields))
        assert client.ended
        await self.check_nothing_is_left(requests=None)
        return client

    async def compact(self, client: Client, **fields: Any) -> None:
        """Make one request to the Responses dialect's route for compactions."""
        request = ClientRequest(
            method="POST", path="/v1/responses/compact", headers={}, request_id="req_test",
            body=orjson.dumps({"model": "gpt-5.5", **fields}),
        )  # fmt: skip
        await asyncio.create_task(self.gateway.generate(registry.get("openai-responses"), self.key, request, client))

    async def check_nothing_is_left(self, *, requests: int | None = 1) -> None:
        """No slot is taken, every upstream is closed, every request is counted once."""
        for holder in (*self.known_accounts, f"key:{self.key.id}"):
            assert await self.state.slots_taken(holder, now=NOW) == 0, f"{holder} still holds a slot"
        for stream in self.upstream.streams:
            assert stream.closings >= 1, "an upstream was left open"
        if requests is not None:
            assert len(self.usage) == requests

    def status(self, status: int) -> int:
        """Return how this dialect writes `status`."""
        return DIALECTS[self.dialect].statuses.get(status, status)

    def record(self) -> UsageRecord:
        """Take the one usage record."""
        [found] = self.usage.take(100)
        return found
