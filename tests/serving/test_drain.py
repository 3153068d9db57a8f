"""A gateway process that is told to stop lets answers finish, turns new requests away, and ends with status 0."""

from __future__ import annotations

import contextlib
import http.client
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

pytestmark = pytest.mark.timeout(60)

PROGRAM = """
import asyncio, os, socket, sys, types

class Application:
    is_draining = False

    def start_drain(self):
        self.is_draining = True

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": message["type"] + ".complete"})
                if message["type"] == "lifespan.shutdown":
                    print("flushed", flush=True)
                    return
        status = 503 if self.is_draining else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        for _ in range(15 if scope["path"] == "/slow" else 0):
            await send({"type": "http.response.body", "body": b"x", "more_body": True})
            await asyncio.sleep(0.1)
        await send({"type": "http.response.body", "body": b"end"})

module = types.ModuleType("codexproxy.asgi")
module.application = Application()
sys.modules["codexproxy.asgi"] = module
from codexproxy.serving import gateway
gateway.DRAIN_S = float(sys.argv[2])
gateway.run(socket.socket(fileno=int(sys.argv[1])), lambda: print("ready", flush=True))
"""


@pytest.fixture
def start() -> Iterator:
    started: list[subprocess.Popen] = []

    def run(drain_s: float) -> tuple[subprocess.Popen, int]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, str(listener.fileno()), str(drain_s)],
                pass_fds=[listener.fileno()],
                stdout=subprocess.PIPE,
                text=True,
            )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process, port

    yield run
    for process in started:
        with process:
            process.kill()


@pytest.fixture
def get() -> Iterator[Callable[[int, str], http.client.HTTPResponse]]:
    """Begin a request; the connections are closed after the test."""
    with contextlib.ExitStack() as opened:

        def begin(port: int, path: str) -> http.client.HTTPResponse:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            opened.callback(connection.close)
            connection.request("GET", path)
            return opened.enter_context(connection.getresponse())

        yield begin


def test_a_running_answer_finishes_while_new_requests_are_turned_away(start, get) -> None:
    process, port = start(30)
    slow = get(port, "/slow")
    assert slow.read(1) == b"x"

    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)

    assert get(port, "/").status == 503
    assert slow.read() == b"x" * 14 + b"end"
    assert process.wait(10) == 0
    assert "flushed" in process.stdout.read()


def test_the_drain_period_ends(start, get) -> None:
    process, port = start(0.2)
    assert get(port, "/slow").read(1) == b"x"

    process.send_signal(signal.SIGTERM)

    assert process.wait(10) == 0


def test_a_second_signal_does_not_wait(start, get) -> None:
    process, port = start(30)
    assert get(port, "/slow").read(1) == b"x"

    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.wait(10)

    assert time.monotonic() - began < 1.0


def test_an_idle_process_stops_at_once(start, get) -> None:
    process, port = start(30)
    assert get(port, "/").status == 200

    process.send_signal(signal.SIGTERM)

    assert process.wait(3) == 0
