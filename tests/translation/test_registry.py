"""Which codecs there are, and which of them upstreams speak."""

from __future__ import annotations

import pytest

from translation import registry

CLIENTS_ONLY = {"ollama", "openai-completions", "openai-images"}

UPSTREAMS = ("anthropic-messages", "gemini", "openai-chat", "openai-responses")


def test_every_codec_is_found_under_its_own_name() -> None:
    assert set(registry.codecs()) == {*CLIENTS_ONLY, *UPSTREAMS}
    assert all(registry.get(name).name == name for name in registry.codecs())


@pytest.mark.parametrize("name", sorted(CLIENTS_ONLY))
def test_a_protocol_of_clients_only_is_no_upstream(name: str) -> None:
    with pytest.raises(KeyError, match="clients only"):
        registry.get_upstream(name)


@pytest.mark.parametrize("name", UPSTREAMS)
def test_a_protocol_of_providers_is_spoken_to_upstreams(name: str) -> None:
    assert registry.get_upstream(name) is registry.get(name)
