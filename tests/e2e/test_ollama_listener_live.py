"""The listener for Ollama apps in a running product: switched on, used without a key, and switched off again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import ollama
import pytest
from openai import OpenAI

from tests.e2e.conftest import Demo, free_port

PATIENCE_S = 10.0


@pytest.fixture
def settings_set(demo: Demo) -> Callable[[str, str], Any]:
    """Change a setting of the demo from outside its processes, as an operator does."""
    unwanted = ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}

    def change(key: str, value: str) -> Any:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("codexproxy")), "settings", "set", key, value],
            env=environment | {"CODEXPROXY_DATA_DIR": str(demo.data_dir / "demo")},
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        return json.loads(done.stdout)

    return change


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def is_open(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).text == "Ollama is running"
    except httpx.TransportError:
        return False


def test_it_is_switched_on_used_and_switched_off(demo: Demo, settings_set: Callable[[str, str], Any]) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    shown = (demo.data_dir / "serve.log").read_text().count(demo.key)
    settings_set("ollama.port", str(port))
    assert settings_set("ollama.key", demo.key)["value"] == "***"
    assert settings_set("ollama.enabled", "true")["value"] is True
    try:
        eventually(lambda: is_open(url))
        with ollama.Client(host=url, trust_env=False) as client:
            say = [{"role": "user", "content": "[[SAY:Hello]]"}]
            assert client.chat("gpt-5.5", say).message.content == "Hello"
        with OpenAI(base_url=f"{url}/v1", api_key="ollama", max_retries=0) as openai:
            assert openai.responses.create(model="gpt-5.5", input="[[SAY:Hello]]").output_text == "Hello"
        assert httpx.get(f"{url}/admin/", trust_env=False).status_code == 404
        assert httpx.get(url, headers={"origin": "https://evil.test"}, trust_env=False).status_code == 403
    finally:
        settings_set("ollama.enabled", "false")
    eventually(lambda: not is_open(url))
    assert (demo.data_dir / "serve.log").read_text().count(demo.key) == shown  # logs never repeat it
