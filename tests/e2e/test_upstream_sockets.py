"""Upstream WebSockets in the running product: switched on live, with the OpenAI SDK and the Codex CLI in front."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tests.e2e.conftest import Demo, start_demo, stop_demo
from tests.e2e.test_codex_cli import CodexCli, _binary
from tests.e2e.test_stream_manners import simulator_url

MODEL = "gpt-5.5"
FOLLOWED_S = 3.0
"""A change by another process is seen within two seconds."""


@pytest.fixture(scope="module")
def socket_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    running = start_demo(tmp_path_factory.mktemp("sockets"))
    try:
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")
        }
        subprocess.run(
            [str(Path(sys.executable).with_name("codexproxy")), "settings", "set", "ws_pool.enabled", "true"],
            env=environment | {"CODEXPROXY_DATA_DIR": str(running.data_dir / "demo")},
            check=True,
            capture_output=True,
        )
        time.sleep(FOLLOWED_S)
        yield running
    finally:
        stop_demo(running)


def counters(demo: Demo) -> dict[str, int]:
    return httpx.get(f"{simulator_url(demo)}/__sim/counters", timeout=5).json()


@pytest.mark.parametrize("streams", [True, False])
def test_an_sdks_conversation_sends_only_what_is_new(socket_demo: Demo, streams: bool) -> None:
    before = counters(socket_demo)
    with OpenAI(base_url=f"{socket_demo.url}/v1", api_key=socket_demo.key, max_retries=0, timeout=30) as client:
        previous = None
        for number in range(4):
            more: Any = {"previous_response_id": previous} if previous else {}
            said = f"turn {number} of {streams} [[SAY:{number}]]"
            if streams:
                with client.responses.stream(model=MODEL, input=said, **more) as stream:
                    answer: Any = stream.get_final_response()
            else:
                answer = client.responses.create(model=MODEL, input=said, **more)
            assert answer.output_text == str(number)
            previous = answer.id
            time.sleep(1.1 if number == 0 else 0)  # between two dials of one account
    after = counters(socket_demo)
    assert after["websockets.continued"] - before.get("websockets.continued", 0) == 2


@pytest.mark.parametrize("websockets", ["false", "true"])
def test_codex_works_through_sockets_on_both_sides(
    npm_clients: Path, socket_demo: Demo, tmp_path: Path, websockets: str
) -> None:
    before = counters(socket_demo)
    codex = CodexCli(_binary(npm_clients), socket_demo, tmp_path, websockets=websockets)
    codex.run("Use your shell. [[SH:sleep 1; echo one > out.txt]]")
    assert (codex.work / "out.txt").read_text() == "one\n"
    codex.run("Again. [[SH:sleep 1; echo two > out.txt]]", "resume", "--last")
    assert (codex.work / "out.txt").read_text() == "two\n"
    assert "done" in codex.run("That was it. [[SAY:done]]", "resume", "--last")
    after = counters(socket_demo)
    assert after["websockets.continued"] > before.get("websockets.continued", 0)
