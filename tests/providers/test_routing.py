"""From the name a client wrote to the model that leaves; spec/translation.md §2.1 and edge cases 254-257."""

from __future__ import annotations

import pytest

from providers.catalog import BUNDLED, bundled_models
from providers.contract import Target
from providers.routing import SHIPPED_ALIASES, resolve
from translation.codec import ModelInfo
from translation.errors import ModelNotFound

MODELS = {
    **bundled_models(),
    "gpt-5.1-codex-max": ModelInfo(id="gpt-5.1-codex-max", efforts=("low", "medium", "high")),
    "x-high": ModelInfo(id="x-high"),
}
ALIASES = {
    **SHIPPED_ALIASES,
    "gpt-loop": "gpt-pool", "gpt-pool": "gpt-loop", "gpt-5.4-mini": "gpt-mini", "gpt-mini": "gpt-5.4-mini",
    "claude-*haiku*": "gpt-5.4-mini-low",
    "smart": "gpt-5.5", "smarter": "smart", "quick": "gpt-5.4-mini-low-fast", "team-fast": "gpt-5.4",
    "a": "b", "b": "a", "self": "self", "nowhere": "no-such-thing",
}  # fmt: skip


def target(name: str, default: str = "gpt-5.5") -> Target:
    (found,) = resolve(name, models=MODELS, aliases=ALIASES, default_model=default)
    return found


@pytest.mark.parametrize(
    ("name", "model", "effort", "tier"),
    [
        ("gpt-5.5", "gpt-5.5", None, None),
        ("  gpt-5.5\n", "gpt-5.5", None, None),
        ("gpt-5.5-high", "gpt-5.5", "high", None),
        ("gpt-5.5-fast", "gpt-5.5", None, "priority"),
        ("gpt-5.5-flex", "gpt-5.5", None, "flex"),
        ("gpt-5.4-high-fast", "gpt-5.4", "high", "priority"),
        ("gpt-5.4-fast-high", "gpt-5.4", "high", "priority"),
        ("gpt-5.4-mini", "gpt-5.4-mini", None, None),
        ("gpt-5.4-mini-xhigh", "gpt-5.4-mini", "xhigh", None),
        ("gpt-5.6-sol-max", "gpt-5.6-sol", "max", None),
        ("gpt-5.6-sol-ultra", "gpt-5.6-sol", "max", None),
        ("gpt-5.1-codex-max", "gpt-5.1-codex-max", None, None),
        ("gpt-5.1-codex-max-high", "gpt-5.1-codex-max", "high", None),
        ("x-high", "x-high", None, None),
        ("gpt-5.5-none", "gpt-5.5", "none", None),
        ("gpt-5.5-minimal", "gpt-5.5", "minimal", None),
    ],
)
def test_a_name_is_split_into_model_effort_and_tier(
    name: str, model: str, effort: str | None, tier: str | None
) -> None:
    found = target(name)
    assert (found.model, found.effort, found.service_tier) == (model, effort, tier)
    assert (found.provider, found.codec) == ("codex", "openai-responses")


def test_at_most_one_effort_and_one_tier_are_stripped() -> None:
    assert target("gpt-5.5-high-low").model == "gpt-5.5-high"
    assert target("gpt-5.5-fast-flex").model == "gpt-5.5-fast"


@pytest.mark.parametrize(
    ("name", "model", "effort", "tier"),
    [
        ("smart", "gpt-5.5", None, None),
        ("smarter", "gpt-5.5", None, None),
        ("smarter-high", "gpt-5.5", "high", None),
        ("smart-fast", "gpt-5.5", None, "priority"),
        ("quick", "gpt-5.4-mini", "low", "priority"),
        ("quick-high", "gpt-5.4-mini", "high", "priority"),
        ("team-fast", "gpt-5.4", None, None),
    ],
)
def test_aliases_are_followed_and_an_exact_alias_keeps_its_name(
    name: str, model: str, effort: str | None, tier: str | None
) -> None:
    found = target(name)
    assert (found.model, found.effort, found.service_tier) == (model, effort, tier)


@pytest.mark.parametrize(
    "name", ["a", "b", "self", "a-high", "gpt-loop", "gpt-pool-high", "nowhere", "", "-high", "llama-3", "mistral"]
)
def test_cycles_and_unknown_names_are_not_found(name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        target(name)
    assert (caught.value.status, caught.value.code, caught.value.param) == (404, "model_not_found", "model")


def test_a_chain_longer_than_any_sane_one_ends() -> None:
    chain = {f"m{number}": f"m{number + 1}" for number in range(200)}
    with pytest.raises(ModelNotFound):
        resolve("m0", models=MODELS, aliases=chain, default_model="gpt-5.5")


@pytest.mark.parametrize("name", ["claude-sonnet-4-5", "gemini-2.5-pro", "models/gemini-2.5-flash"])
def test_names_that_clients_of_other_vendors_hard_code_get_the_default_model(name: str) -> None:
    assert target(name, default="gpt-5.4").model == "gpt-5.4"


def test_the_default_model_may_itself_be_an_alias_or_carry_an_effort() -> None:
    assert target("claude-opus-4", default="smart").model == "gpt-5.5"
    found = target("claude-opus-4", default="gpt-5.4-high")
    assert (found.model, found.effort) == ("gpt-5.4", "high")


def test_an_alias_for_a_borrowed_name_wins_over_the_default() -> None:
    (found,) = resolve(
        "claude-sonnet-4-5", models=MODELS, aliases={"claude-sonnet-4-5": "gpt-5.4"}, default_model="gpt-5.5"
    )
    assert found.model == "gpt-5.4"


def test_row_256_a_model_that_aliases_lead_round_in_a_circle_is_still_itself() -> None:
    assert target("gpt-5.4-mini").model == target("gpt-5.4-mini-high").model == "gpt-5.4-mini"


def test_the_longest_alias_with_a_star_wins_and_its_suffixes_count() -> None:
    found = target("claude-3-5-haiku-20241022")
    assert (found.model, found.effort) == ("gpt-5.4-mini", "low")
    assert target("claude-haiku-4-5-fast").service_tier == "priority"
    assert target("claude-opus-4").model == "gpt-5.5"


def test_operators_may_point_shipped_names_nowhere() -> None:
    with pytest.raises(ModelNotFound):
        resolve("gemini-2.5-pro", models=MODELS, aliases={**SHIPPED_ALIASES, "gemini-*": ""}, default_model="gpt-5.5")


def test_a_model_in_the_catalogue_is_never_taken_for_a_pattern() -> None:
    (found,) = resolve("x-high", models=MODELS, aliases={"*": "gpt-5.4"}, default_model="gpt-5.5")
    assert found.model == "x-high"


@pytest.mark.parametrize("name", ["gpt-9", "o7-preview", "codex-next"])
def test_a_model_of_the_family_that_the_catalog_does_not_know_yet_is_tried(name: str) -> None:
    assert target(name).model == name


def test_a_hostile_name_is_shortened_in_the_answer() -> None:
    with pytest.raises(ModelNotFound) as caught:
        target("z" * 100_000)
    assert len(caught.value.message) < 400


def test_the_efforts_of_the_model_travel_as_a_quirk_without_ultra() -> None:
    assert target("gpt-5.6-sol").quirks.efforts == ("low", "medium", "high", "xhigh", "max")
    assert target("gpt-9").quirks.efforts == ()


def test_the_bundled_catalog_is_consistent() -> None:
    assert len({model.id for model in BUNDLED}) == len(BUNDLED)
    for model in BUNDLED:
        assert model.default_effort in model.efforts
        assert model.context_window is not None and model.max_context_window is not None
        assert model.context_window <= model.max_context_window
        assert target(model.id).model == model.id
