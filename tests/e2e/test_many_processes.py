"""Two `serve` on two ports over one PostgreSQL and one Redis behave as one."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.fleet import DATABASE_URL, REDIS_URL, Fleet, Member

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(not (DATABASE_URL and REDIS_URL), reason="TEST_DATABASE_URL and TEST_REDIS_URL name no servers"),
]
ACCOUNTS, SLOTS = 5, 3
STALE_S = 2.0
"""How old the knowledge of a change may be in a process that did not make it."""


class Pair:
    """A fleet of two members with a key, and short words for what tests do with them."""

    def __init__(self, fleet: Fleet, one: Member, other: Member) -> None:
        self.fleet, self.one, self.other = fleet, one, other
        self.key = fleet.key()
        self.limited: set[str] = set()
        """Accounts that a test has spent, limits or tokens, by the upstream's name; they stay so."""
        self.widened: set[str] = set()
        """Accounts that have had more slots for a while."""

    async def ask(
        self, client: httpx.AsyncClient, member: Member, *, key: str = "", conversation: str = "", words: str = "hello"
    ) -> httpx.Response:
        """Make one request and read its answer to the end."""
        body: dict[str, Any] = {"model": "gpt-5.5", "stream": True, "messages": [{"role": "user", "content": words}]}
        if conversation:
            body["prompt_cache_key"] = conversation
        headers = {"authorization": f"Bearer {key or self.key}"}
        return await client.post(f"{member.url}/v1/chat/completions", json=body, headers=headers)

    async def ask_many(self, count: int, **options: Any) -> list[httpx.Response]:
        """Make many requests at once, every other one to the other member."""
        async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=None)) as client:
            members = [self.one, self.other] * ((count + 1) // 2)
            return list(await asyncio.gather(*(self.ask(client, member, **options) for member in members[:count])))

    def ask_once(self, member: Member, **options: Any) -> httpx.Response:
        """Make one request."""

        async def asking() -> httpx.Response:
            async with httpx.AsyncClient(timeout=60) as client:
                return await self.ask(client, member, **options)

        return asyncio.run(asking())

    def last_accounts(self, count: int) -> list[str]:
        """Return whom the upstream saw last."""
        return [
            entry["account_id"] for entry in self.fleet.look("received", route="responses", last=str(count))["received"]
        ]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    fleet = Fleet(
        tmp_path_factory.mktemp("fleet"), accounts=ACCOUNTS, slots=SLOTS, simulator=("--first-event-ms", "300")
    )
    try:
        fleet.prepare()
        one, other = fleet.serve(), fleet.serve()
        one.wait_until_ready()
        other.wait_until_ready()
        yield Pair(fleet, one, other)
        fleet.no_tracebacks()
    finally:
        fleet.close()


@pytest.fixture(autouse=True)
def calm(pair: Pair) -> Iterator[None]:
    """Every test begins and ends with no slot taken."""
    yield
    ends_at = time.monotonic() + 5
    while pair.fleet.slots_taken() and time.monotonic() < ends_at:
        time.sleep(0.05)
    assert pair.fleet.slots_taken() == 0


def test_both_together_never_run_more_requests_on_an_account_than_it_has_slots(pair: Pair) -> None:
    answers = asyncio.run(pair.ask_many(40))

    assert Counter(answer.status_code for answer in answers) == {200: 40}, "who finds no slot waits for one"
    counters = pair.fleet.look("counters")
    names = [entry["id"] for entry in pair.fleet.look("accounts")["accounts"]]
    peaks = {counters[f"peak_in_flight.{name}"] for name in names if name not in pair.limited | pair.widened}
    assert peaks == {SLOTS}, "every slot was used, and none twice"


def test_an_api_keys_slots_are_counted_over_both(pair: Pair) -> None:
    key = pair.fleet.key("--max-concurrency", "2")
    wait_until_known(pair, key)

    answers = asyncio.run(pair.ask_many(6, key=key))

    assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429, 429]


def test_a_conversation_keeps_its_account_on_the_other_process(pair: Pair) -> None:
    for number in range(4):
        member = (pair.one, pair.other)[number % 2]
        assert pair.ask_once(member, conversation="talk-1").status_code == 200
    assert len(set(pair.last_accounts(4))) == 1


def test_a_limit_that_one_process_meets_spares_the_other_the_account(pair: Pair) -> None:
    assert pair.ask_once(pair.one, conversation="talk-2").status_code == 200
    [limited] = pair.last_accounts(1)
    pair.limited.add(limited)
    pair.fleet.tell("faults", {"code": "F1", "account": limited})
    assert pair.ask_once(pair.one, conversation="talk-2").status_code == 200
    before = pair.fleet.calls(limited)

    for _ in range(3):
        assert pair.ask_once(pair.other, conversation="talk-2").status_code == 200

    assert pair.fleet.calls(limited) == before, "nobody asked the limited account again"


def wait_until_known(pair: Pair, key: str) -> float:
    """Wait until both members accept the key; return how long that took."""
    return wait_for_status(pair, key, 200)


def wait_for_status(pair: Pair, key: str, status: int) -> float:
    began = time.monotonic()
    for member in (pair.one, pair.other):
        while httpx.get(f"{member.url}/v1/models", headers={"x-api-key": key}).status_code != status:
            assert time.monotonic() - began < 10, f"the key was never answered with {status}"
            time.sleep(0.02)
    return time.monotonic() - began


def test_a_new_key_and_its_end_are_known_everywhere_within_two_seconds(pair: Pair) -> None:
    key = pair.fleet.key()
    assert wait_until_known(pair, key) < STALE_S
    pair.fleet.run("key", "revoke", key[:12])
    assert wait_for_status(pair, key, 401) < STALE_S
    refused = pair.ask_once(pair.other, key=key)
    assert refused.status_code == 401 and "revoked" in refused.text


# ---- tokens ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def lone_account(pair: Pair) -> Iterator[str]:
    """One account with room for all, the others paused; the simulator's id of it."""
    known = {entry["chatgpt_account_id"]: entry["id"] for entry in pair.fleet.look("accounts")["accounts"]}
    rows = pair.fleet.rows("SELECT id, chatgpt_account_id FROM accounts_account ORDER BY id")
    account_id, workspace = next(row for row in rows if known[row[1]] not in pair.limited)
    pair.widened.add(known[workspace])
    pair.fleet.change_rows(
        "UPDATE accounts_account SET max_concurrency = 100, "
        f"status = CASE WHEN id = '{account_id}' THEN 'active' ELSE 'paused' END"
    )
    yield known[workspace]
    pair.fleet.change_rows(f"UPDATE accounts_account SET max_concurrency = {SLOTS}, status = 'active'")


def test_fifty_callers_on_an_expired_token_make_one_refresh(pair: Pair, lone_account: str) -> None:
    pair.fleet.tell("accounts", {"id": lone_account, "expire_access_token": True})
    before = pair.fleet.look("counters").get("refresh.attempts", 0)

    answers = asyncio.run(pair.ask_many(50))

    assert Counter(answer.status_code for answer in answers) == {200: 50}
    assert pair.fleet.look("counters")["refresh.attempts"] == before + 1


def test_a_process_killed_while_it_refreshes_is_reported_and_its_token_not_spent_again(
    pair: Pair, lone_account: str
) -> None:
    pair.limited.add(lone_account)  # its refresh token counts as spent from here on
    before = pair.fleet.look("counters").get("refresh.attempts", 0)
    pair.fleet.tell("faults", {"code": "F19", "variant": "lost_reply", "seconds": 20})
    pair.fleet.tell("accounts", {"id": lone_account, "expire_access_token": True})
    [gateway] = pair.one.gateways()

    def kill_when_spent() -> None:
        while pair.fleet.look("counters").get("refresh.attempts", 0) == before:
            time.sleep(0.02)
        os.kill(gateway, signal.SIGKILL)

    killing = threading.Thread(target=kill_when_spent)
    killing.start()
    with pytest.raises(httpx.HTTPError):
        pair.ask_once(pair.one)
    killing.join()
    pair.one.wait_until_ready()

    # The lease of the dead process lapses; what looks after tokens then reports it and leaves the token alone.
    pair.fleet.change_rows("UPDATE accounts_account SET lease_until = now() WHERE lease_until IS NOT NULL")
    look_after = "from codexproxy.tasks import refresh_due_tokens; refresh_due_tokens()"
    pair.fleet.run("shell", "--verbosity", "0", "--command", look_after)
    [(reason,)] = pair.fleet.rows("SELECT status_reason FROM accounts_account WHERE status = 'active'")
    assert "ended without an answer" in reason
    actions = pair.fleet.rows("SELECT action FROM accounts_auditentry WHERE action = 'account.refresh_interrupted'")
    assert len(actions) == 1
    assert pair.fleet.look("counters")["refresh.attempts"] == before + 1

    # Only when the upstream no longer takes the access token is the other one tried, once, by whichever process.
    refused = asyncio.run(pair.ask_many(6))
    assert {answer.status_code for answer in refused} == {503}
    assert pair.fleet.look("counters")["refresh.attempts"] == before + 2
    [(status,)] = pair.fleet.rows("SELECT status FROM accounts_account WHERE refresh_refusals > 0")
    assert status == "needs_login"
    assert pair.ask_once(pair.other).status_code == 503
    assert pair.fleet.look("counters")["refresh.attempts"] == before + 2
