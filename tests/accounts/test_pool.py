"""Leasing over the real in-memory state: who gets the slot, who bears a failure, and what "none left" says."""

from __future__ import annotations

import msgspec
import pytest

from accounts.health import Penalty
from accounts.lease import Lease
from accounts.pool import AFFINITY_TTL_S, UNSUPPORTED_TTL_S, AccountPool
from accounts.quota import Quota
from accounts.refusing import BUSY_RETRY_S
from accounts.roster import Wish
from accounts.values import AccountView, PoolRules
from accounts.why import Decision, Passed
from codexproxy.gateway.snapshot import GatewaySettings, Snapshot
from codexproxy.gateway.state.contract import Candidate
from codexproxy.gateway.state.memory import MemoryState
from providers.catalog import bundled_models
from providers.contract import Credential, QuotaWindow, Secret
from translation import errors

NOW = 1_800_000_000.0


def account(name: str, **fields: object) -> AccountView:
    return AccountView(
        id=name,
        provider="codex",
        credential=Credential(token=Secret("t"), scope=name),
        **fields,  # type: ignore[arg-type]
    )


class Desk:
    """A pool with its state, and short words for what tests do with it."""

    def __init__(self) -> None:
        self.state = MemoryState()
        self.penalties: list[tuple[str, Penalty]] = []
        self.pool = AccountPool(self.state, Candidate, lambda *fact: self.penalties.append(fact), lease_ttl_s=900)

    async def lease(
        self, *accounts: AccountView, now: float = NOW, exclude: frozenset[str] = frozenset(),
        decision: Decision | None = None, rules: PoolRules | None = None, skip_exhausted: bool = True, **wishes: object,
    ) -> Lease:  # fmt: skip
        rules = rules or PoolRules(strategy=str(wishes.pop("strategy", "least_used")), pace_s=0, wait_s=0)
        world = Snapshot(
            accounts=accounts,
            models=bundled_models(),
            settings=GatewaySettings(pool=rules, skip_exhausted=skip_exhausted),
        )
        wish = Wish(**{"provider": "codex", "model": "gpt-5.5", **wishes})  # type: ignore[arg-type]
        return await self.pool.lease(world, wish, exclude, decision or Decision(), now=now, look=lambda: world)

    async def refusal(self, *accounts: AccountView, now: float = NOW, **wishes: object) -> errors.NoCapacity:
        with pytest.raises(errors.NoCapacity) as caught:
            await self.lease(*accounts, now=now, **wishes)
        return caught.value

    async def taken(self, name: str) -> int:
        return await self.state.slots_taken(name, now=NOW)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_lease_holds_one_slot_until_it_is_released_and_releasing_twice_frees_one(desk: Desk) -> None:
    a = account("a", max_concurrency=2)
    first, _ = await desk.lease(a), await desk.lease(a)
    assert await desk.taken("a") == 2
    first.release()
    first.release()
    assert await desk.taken("a") == 1
    assert first.is_released


async def test_a_released_lease_cannot_be_prolonged_back_to_life(desk: Desk) -> None:
    lease = await desk.lease(account("a"))
    lease.release()
    lease.prolong(ttl_s=900, now=NOW)
    assert await desk.taken("a") == 0


async def test_load_spreads_over_accounts_before_any_gets_a_second_request(desk: Desk) -> None:
    accounts = [account("a"), account("b"), account("c")]
    assert sorted([(await desk.lease(*accounts)).account.id for _ in range(3)]) == ["a", "b", "c"]


async def test_round_robin_goes_around(desk: Desk) -> None:
    accounts = [account("a"), account("b"), account("c")]
    chosen = [(await desk.lease(*accounts, strategy="round_robin")).account.id for _ in range(6)]
    assert sorted(chosen[:3]) == ["a", "b", "c"] and chosen[:3] == chosen[3:]


async def test_sticky_stays_on_one_account_until_it_is_full(desk: Desk) -> None:
    accounts = [account("a", last_used_at=1, max_concurrency=2), account("b", last_used_at=9, max_concurrency=2)]
    assert [(await desk.lease(*accounts, strategy="sticky")).account.id for _ in range(3)] == ["b", "b", "a"]


@pytest.mark.parametrize("strategy", ["least_used", "round_robin", "sticky"])
async def test_a_conversation_keeps_its_account_under_every_strategy(desk: Desk, strategy: str) -> None:
    accounts = [account("a"), account("b"), account("c")]
    first = await desk.lease(*accounts, strategy=strategy, conversation="talk")
    first.release()
    for _ in range(3):
        again = await desk.lease(*accounts, strategy=strategy, conversation="talk")
        assert again.account.id == first.account.id
        again.release()


async def test_a_conversation_moves_and_stays_moved_when_its_account_is_gone(desk: Desk) -> None:
    a, b = account("a"), account("b", request_count=5)
    (await desk.lease(a, b, conversation="talk")).release()
    moved = await desk.lease(a, b, conversation="talk", exclude=frozenset({"a"}))
    moved.release()
    assert moved.account.id == "b"
    assert (await desk.lease(a, b, conversation="talk")).account.id == "b"


async def test_a_conversation_whose_account_is_full_does_not_wait_for_it(desk: Desk) -> None:
    a, b = account("a", max_concurrency=1), account("b", request_count=5)
    held = await desk.lease(a, b, conversation="talk")
    assert held.account.id == "a"
    assert (await desk.lease(a, b, conversation="talk")).account.id == "b"


async def test_affinity_fades(desk: Desk) -> None:
    a, b = account("a", request_count=1), account("b", request_count=5)
    (await desk.lease(b, conversation="talk")).release()
    later = await desk.lease(a, b, conversation="talk", now=NOW + AFFINITY_TTL_S + 1)
    assert later.account.id == "a"


async def test_two_requests_racing_for_the_last_slot_get_one_lease(desk: Desk) -> None:
    a = account("a", max_concurrency=1)
    await desk.lease(a)
    assert (await desk.refusal(a)).status == 429


async def test_unusable_excluded_and_cooling_accounts_are_passed_over(desk: Desk) -> None:
    accounts = [
        account("paused", is_usable=False), account("tried"), account("persisted", cooling_until=NOW + 5),
        account("live"), account("good", request_count=99),
    ]  # fmt: skip
    await desk.pool.report(accounts[3], errors.RateLimited("x", until=NOW + 60), now=NOW)
    assert (await desk.lease(*accounts, exclude=frozenset({"tried"}))).account.id == "good"


async def test_a_cooled_account_comes_back_when_its_rest_ends(desk: Desk) -> None:
    a = account("a")
    await desk.pool.report(a, errors.RateLimited("x", until=NOW + 60), now=NOW)
    assert (await desk.refusal(a)).status == 429
    assert (await desk.lease(a, now=NOW + 61)).account.id == "a"


async def test_an_account_without_the_model_is_passed_over_for_that_model_only(desk: Desk) -> None:
    a, b = account("a"), account("b", request_count=9)
    await desk.pool.mark_unsupported(a, "gpt-5.4", now=NOW)
    assert (await desk.lease(a, b, model="gpt-5.4")).account.id == "b"
    assert (await desk.lease(a, b, model="gpt-5.4")).account.id == "b"
    assert (await desk.lease(a, b, model="gpt-5.5")).account.id == "a"
    assert (await desk.lease(a, model="gpt-5.4", now=NOW + UNSUPPORTED_TTL_S + 1)).account.id == "a"


# ---- who fits -------------------------------------------------------------------------------------------------------


async def test_t7_an_account_whose_plan_lacks_the_model_is_never_used_for_it(desk: Desk) -> None:
    free, plus = account("free", plan="free"), account("plus", plan="Plus", request_count=99)
    decision = Decision()
    assert (await desk.lease(free, plus, model="gpt-5.4", decision=decision)).account.id == "plus"
    assert decision.passed() == [Passed("free", "plan", "free")]
    refusal = await desk.refusal(free, model="gpt-5.4")
    assert (refusal.status, refusal.code) == (503, "no_available_accounts")
    assert "no account has a plan with the model 'gpt-5.4'" in refusal.message
    assert (await desk.lease(free, model="gpt-5.5")).account.id == "free"


@pytest.mark.parametrize("plan", [None, "", "quorum"])
async def test_t8_a_plan_that_nothing_is_known_of_is_allowed(desk: Desk, plan: str | None) -> None:
    assert (await desk.lease(account("a", plan=plan), model="gpt-5.4")).account.id == "a"


async def test_t8_a_model_that_no_plan_is_known_to_have_is_allowed_for_all(desk: Desk) -> None:
    assert (await desk.lease(account("a", plan="free"), model="gpt-9-unheard-of")).account.id == "a"


async def test_t9_a_lower_tier_serves_only_when_the_higher_is_full(desk: Desk) -> None:
    rules = PoolRules(tiers=("pro",), pace_s=0, wait_s=0)
    accounts = [account("plus", plan="plus"), account("pro", plan="pro", max_concurrency=2, request_count=50)]
    assert [(await desk.lease(*accounts, rules=rules)).account.id for _ in range(3)] == ["pro", "pro", "plus"]


async def test_a_key_of_a_pool_uses_only_accounts_with_its_label(desk: Desk) -> None:
    day, night = account("day", pools=("day",)), account("night", pools=("late", "night"), request_count=9)
    assert (await desk.lease(day, night, pool="night")).account.id == "night"
    assert (await desk.lease(day, night)).account.id == "day"
    refusal = await desk.refusal(day, pool="night")
    assert refusal.status == 503 and "'night'" in refusal.message


async def test_an_account_of_another_provider_is_not_there(desk: Desk) -> None:
    refusal = await desk.refusal(msgspec.structs.replace(account("a"), provider="other"))
    assert "none has been added" in refusal.message


async def test_an_account_that_is_used_up_is_passed_over_until_its_reset_unless_told_otherwise(desk: Desk) -> None:
    spent = account(
        "spent", quota=Quota(windows={"codex": {"primary": QuotaWindow(used_percent=100, reset_at=NOW + 300)}})
    )
    decision = Decision()
    assert (await desk.lease(spent, account("open", request_count=9), decision=decision)).account.id == "open"
    assert decision.passed() == [Passed("spent", "exhausted", until=int(NOW) + 300)]
    refusal = await desk.refusal(spent)
    assert (refusal.status, refusal.retry_after_s) == (429, 300)
    assert (await desk.lease(spent, model="gpt-5.3-codex-spark")).account.id == "spent"
    assert (await desk.lease(spent, skip_exhausted=False)).account.id == "spent"
    assert (await desk.lease(spent, now=NOW + 301)).account.id == "spent"


# ---- strategies over the live state ---------------------------------------------------------------------------------


async def test_t3_ties_rotate(desk: Desk) -> None:
    accounts = [account("a"), account("b"), account("c")]
    chosen = []
    for _ in range(6):
        lease = await desk.lease(*accounts)
        chosen.append(lease.account.id)
        lease.release()
    assert chosen[:3] == chosen[3:] and sorted(chosen[:3]) == ["a", "b", "c"]


async def test_t4_sticky_stays_on_the_account_it_moved_to_when_the_first_comes_back(desk: Desk) -> None:
    first, second = account("first", last_used_at=9), account("second")

    async def chosen(now: float) -> str:
        lease = await desk.lease(first, second, strategy="sticky", now=now)
        lease.release()
        return lease.account.id

    assert [await chosen(NOW) for _ in range(2)] == ["first", "first"]
    await desk.pool.report(first, errors.RateLimited("x", until=NOW + 60), now=NOW)
    assert [await chosen(NOW + 1), await chosen(NOW + 61)] == ["second", "second"]


async def test_t4_sticky_does_not_move_because_of_a_full_account(desk: Desk) -> None:
    first, second = account("first", last_used_at=9, max_concurrency=1), account("second")
    held = await desk.lease(first, second, strategy="sticky")
    assert (await desk.lease(first, second, strategy="sticky")).account.id == "second"
    held.release()
    assert (await desk.lease(first, second, strategy="sticky")).account.id == "first"


async def test_t6_a_change_of_strategy_counts_from_the_next_lease_on(desk: Desk) -> None:
    accounts = [account("a", last_used_at=1), account("b", last_used_at=9), account("c", last_used_at=5)]
    chosen: list[str] = []
    for strategy in ("sticky", "round_robin", "round_robin", "round_robin", "sticky"):
        lease = await desk.lease(*accounts, strategy=strategy)
        chosen.append(lease.account.id)
        lease.release()
    assert chosen[0] == chosen[4] == "b" and sorted(chosen[1:4]) == ["a", "b", "c"]


async def test_quota_aware_leases_what_would_be_lost(desk: Desk) -> None:
    def metered(name: str, used: float, hours_left: float) -> AccountView:
        window = QuotaWindow(used_percent=used, window_minutes=300, reset_at=NOW + hours_left * 3600)
        return account(name, quota=Quota(windows={"codex": {"primary": window}}))

    accounts = [metered("scarce", 80, 4), metered("plenty", 10, 0.5)]
    for _ in range(3):
        lease = await desk.lease(*accounts, strategy="quota_aware")
        assert lease.account.id == "plenty"
        lease.release()


@pytest.mark.parametrize("case", ["exhausted", "limited", "cooling", "full", "paused", "tried"])
async def test_t10_a_conversation_leaves_an_account_that_cannot_serve_it(desk: Desk, case: str) -> None:
    owner, other = account("owner", max_concurrency=1), account("other", request_count=50)
    first = await desk.lease(owner, other, conversation="talk")
    assert (first.account.id, first.keeps_account) == ("owner", False)
    if case != "full":
        first.release()
    spent = Quota(windows={"codex": {"primary": QuotaWindow(used_percent=100, reset_at=NOW + 300)}})
    changes: dict[str, dict[str, object]] = {
        "exhausted": {"quota": spent}, "paused": {"is_usable": False, "unusable_kind": "paused"}
    }  # fmt: skip
    if case in ("limited", "cooling"):
        error = errors.RateLimited("x", until=NOW + 60)
        await desk.pool.report(owner, error if case == "limited" else errors.UpstreamBlocked("x", reason="y"), now=NOW)
    owner = msgspec.structs.replace(owner, **changes.get(case, {}))
    exclude = frozenset({"owner"}) if case == "tried" else frozenset[str]()
    decision = Decision()
    moved = await desk.lease(owner, other, conversation="talk", exclude=exclude, decision=decision)
    assert (moved.account.id, moved.keeps_account) == ("other", False)
    reasons = {"cooling": "resting", "paused": "unusable", "limited": "exhausted"}
    assert decision.moved is not None and decision.moved.account == "owner"
    assert decision.moved.reason == reasons.get(case, case)


async def test_t11_an_account_never_has_more_requests_than_it_may(desk: Desk) -> None:
    accounts = [account("a", max_concurrency=2), account("b", max_concurrency=3)]
    leases = [await desk.lease(*accounts) for _ in range(5)]
    assert (await desk.taken("a"), await desk.taken("b")) == (2, 3)
    assert (await desk.refusal(*accounts)).status == 429
    leases[0].release()
    assert (await desk.lease(*accounts)).account.id == leases[0].account.id


# ---- consequences ---------------------------------------------------------------------------------------------------


async def test_a_rejection_is_passed_up_with_its_verdict(desk: Desk) -> None:
    await desk.pool.report(account("a"), errors.AccountRejected("x", reason="banned", detail="gone"), now=NOW)
    [(name, penalty)] = desk.penalties
    assert (name, penalty.rejection, penalty.reason) == ("a", "banned", "gone")


@pytest.mark.parametrize(
    "error", [errors.UpstreamBusy("x"), errors.InvalidRequest("x"), errors.UpstreamUnreachable("x")]
)
async def test_failures_that_are_not_the_accounts_leave_no_trace(desk: Desk, error: errors.GatewayError) -> None:
    await desk.pool.report(account("a"), error, now=NOW)
    assert desk.penalties == []
    assert (await desk.lease(account("a"))).account.id == "a"


async def test_blocks_in_a_row_rest_longer_until_a_success(desk: Desk) -> None:
    a, block = account("a"), errors.UpstreamBlocked("x", reason="challenge")
    for _ in range(3):
        await desk.pool.report(a, block, now=NOW)
    await desk.pool.report_success(a)
    await desk.pool.report(a, block, now=NOW)
    assert [penalty.cool_until - NOW for _, penalty in desk.penalties] == [10, 30, 90, 10]


async def test_blocks_an_hour_apart_are_not_in_a_row(desk: Desk) -> None:
    a, block = account("a"), errors.UpstreamBlocked("x", reason="challenge")
    await desk.pool.report(a, block, now=NOW)
    await desk.pool.report(a, block, now=NOW + 3601)
    assert desk.penalties[1][1].cool_until == NOW + 3601 + 10


# ---- what "none left" says ------------------------------------------------------------------------------------------


async def test_no_accounts_at_all_is_said_so(desk: Desk) -> None:
    refusal = await desk.refusal()
    assert (refusal.status, refusal.code) == (503, "no_available_accounts")
    assert "none has been added" in refusal.message


async def test_accounts_that_all_need_a_person_are_unavailable_without_a_time(desk: Desk) -> None:
    refusal = await desk.refusal(account("a", is_usable=False), account("b", is_usable=False))
    assert (refusal.status, refusal.code, refusal.retry_after_s) == (503, "no_available_accounts", None)


async def test_all_resting_says_when_the_first_is_back(desk: Desk) -> None:
    accounts = [account("a", cooling_until=NOW + 7200), account("b"), account("paused", is_usable=False)]
    await desk.pool.report(accounts[1], errors.RateLimited("x", until=NOW + 600), now=NOW)
    refusal = await desk.refusal(*accounts)
    assert (refusal.status, refusal.code, refusal.retry_after_s) == (429, "rate_limit_exceeded", 600)
    assert "10 min" in refusal.message


async def test_all_resting_and_already_tried_still_says_when_the_first_is_back(desk: Desk) -> None:
    accounts = [account("a", cooling_until=NOW + 600), account("b", cooling_until=NOW + 7200)]
    assert (await desk.refusal(*accounts, exclude=frozenset({"a", "b"}))).retry_after_s == 600


async def test_an_account_that_lacks_the_model_does_not_hide_that_the_others_rest(desk: Desk) -> None:
    lacking, resting = account("a"), account("b", cooling_until=NOW + 600)
    await desk.pool.mark_unsupported(lacking, "gpt-5.5", now=NOW)
    refusal = await desk.refusal(lacking, resting)
    assert (refusal.status, refusal.retry_after_s) == (429, 600)


async def test_a_failed_account_does_not_hide_that_the_others_rest(desk: Desk) -> None:
    failed, resting = account("a"), account("b", cooling_until=NOW + 600)
    refusal = await desk.refusal(failed, resting, exclude=frozenset({"a"}))
    assert (refusal.status, refusal.retry_after_s) == (429, 600)


async def test_all_busy_asks_for_a_short_wait(desk: Desk) -> None:
    a, resting = account("a", max_concurrency=1), account("b", cooling_until=NOW + 600)
    await desk.lease(a)
    refusal = await desk.refusal(a, resting)
    assert (refusal.status, refusal.retry_after_s) == (429, BUSY_RETRY_S)
    assert "busy" in refusal.message


async def test_all_tried_and_failed_is_said_so(desk: Desk) -> None:
    refusal = await desk.refusal(account("a"), account("b"), exclude=frozenset({"a", "b"}))
    assert (refusal.status, refusal.code) == (503, "no_available_accounts")
    assert "tried" in refusal.message


async def test_a_model_no_account_has_is_unavailable(desk: Desk) -> None:
    await desk.pool.mark_unsupported(account("a"), "gpt-5.5", now=NOW)
    refusal = await desk.refusal(account("a"))
    assert (refusal.status, refusal.code) == (503, "no_available_accounts")
    assert "model" in refusal.message
