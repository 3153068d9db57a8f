"""`codexproxy alias`: names of models, one at a time, live."""

from __future__ import annotations

import json

import pytest
from django.core.management import CommandError, call_command

from codexproxy.live_settings import load_settings
from codexproxy.wiring import _load_snapshot
from providers.routing import SHIPPED_ALIASES, resolve

pytestmark = pytest.mark.django_db


def run(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, str]]:
    call_command("alias", *words)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_an_alias_is_set_shown_and_taken_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "set", "smart", "gpt-5.5-high") == [
        {"name": "smart", "target": "gpt-5.5-high", "source": "setting"}
    ]
    assert run(capsys, "set", "smarter", "smart")[0]["target"] == "smart"
    assert load_settings().aliases == {"smart": "gpt-5.5-high", "smarter": "smart"}
    assert {row["name"] for row in run(capsys, "list")} == {*SHIPPED_ALIASES, "smart", "smarter"}
    assert run(capsys, "remove", "smarter") == []
    assert load_settings().aliases == {"smart": "gpt-5.5-high"}


def test_what_we_ship_can_be_changed_and_comes_back(capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "set", "claude-*", "gpt-5.4")
    snapshot = _load_snapshot(1)
    (found,) = resolve("claude-opus-4", models=snapshot.models, aliases=snapshot.aliases, default_model="gpt-5.5")
    assert found.model == "gpt-5.4"
    run(capsys, "remove", "claude-*")
    assert _load_snapshot(2).aliases == SHIPPED_ALIASES


@pytest.mark.parametrize(
    "words", [("set", "a", "llama-3"), ("set", "a", "a"), ("remove", "claude-*"), ("remove", "no")]
)
def test_what_leads_nowhere_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        call_command("alias", *words)
    assert load_settings().aliases == {}
