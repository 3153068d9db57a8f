"""A running gateway under people's habits: leaving in mid-stream, not reading, being restarted."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.e2e.conftest import Demo, start_demo, stop_demo

CHAT = {"model": "gpt-5.5", "stream": True}


def ask(text: str) -> dict[str, object]:
    return {**CHAT, "messages": [{"role": "user", "content": text}]}


def child(demo: Demo, module: str) -> tuple[int, list[str]]:
    """Return pid and arguments of the child of `serve` that runs `module`."""
    listing = subprocess.run(
        ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(demo.process.pid)], capture_output=True, text=True, check=True
    ).stdout
    (line,) = [line for line in listing.splitlines() if module in line]
    pid, *arguments = line.split()
    return int(pid), arguments


def simulator_url(demo: Demo) -> str:
    _, arguments = child(demo, "providers.simulator")
    return f"http://127.0.0.1:{arguments[arguments.index('--port') + 1]}"


def counters(demo: Demo) -> dict[str, int]:
    return httpx.get(f"{simulator_url(demo)}/__sim/counters", timeout=5).json()


def eventually(condition: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def resident_kb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


def settled_kb(pid: int) -> int:
    """Return the memory once it stands still: buffers of the whole way have filled by then."""
    last = resident_kb(pid)
    for _ in range(30):
        time.sleep(0.5)
        now = resident_kb(pid)
        if abs(now - last) < 200:
            return now
        last = now
    return last


def test_a_client_that_leaves_frees_its_upstream_within_a_second(demo: Demo) -> None:
    already = counters(demo).get("streams.aborted_by_client", 0)
    for count, path in enumerate(("/v1/chat/completions", "/v1/responses"), already + 1):
        body = ask("[[STREAM:2000x20ms]]")
        if path.endswith("responses"):
            body["input"] = body.pop("messages")
        with httpx.stream("POST", demo.url + path, json=body, headers=_bearer(demo), timeout=10) as answer:
            next(answer.iter_raw())
        assert eventually(lambda: counters(demo).get("streams.aborted_by_client", 0) >= count, 1.0), path  # noqa: B023 (called at once)


def test_leases_of_clients_that_left_are_free_again(demo: Demo) -> None:
    """Three demo accounts run three requests each; far more clients than that come and leave."""
    for _ in range(30):
        with httpx.stream(
            "POST", f"{demo.url}/v1/chat/completions", json=ask("[[STREAM:500x20ms]]"), headers=_bearer(demo)
        ) as answer:
            assert answer.status_code == 200
            next(answer.iter_raw())
    done = httpx.post(
        f"{demo.url}/v1/chat/completions", json={**ask("[[SAY:fine]]"), "stream": False}, headers=_bearer(demo)
    )
    assert done.json()["choices"][0]["message"]["content"] == "fine"


def test_a_client_that_stops_reading_does_not_grow_the_process(demo: Demo) -> None:
    pid, _ = child(demo, "serving.gateway")
    body = json.dumps(ask("[[STREAM:400000x0ms]]")).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {demo.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    address = demo.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1]))) as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        before = resident_kb(pid)
        stalled.sendall(head.encode() + body)
        stalled.recv(1, socket.MSG_PEEK)  # the answer has begun; from here on nobody reads
        settled = settled_kb(pid)
        time.sleep(2.0)
        grown_kb = resident_kb(pid) - settled
    assert settled - before < 40_000, f"took {settled - before} KB until it stood still; the answer has some 80 MB"
    assert grown_kb < 2_000, f"grew by {grown_kb} KB while nobody read"


def test_a_stop_lets_a_running_answer_finish_and_flushes_its_usage(tmp_path: Path) -> None:
    demo = start_demo(tmp_path)
    seen: list[bytes] = []

    def read() -> None:
        with httpx.stream(
            "POST",
            f"{demo.url}/v1/chat/completions",
            json=ask("[[STREAM:100x20ms]]"),
            headers=_bearer(demo),
            timeout=30,
        ) as answer:
            seen.extend(answer.iter_raw())

    reader = threading.Thread(target=read)
    reader.start()
    assert eventually(lambda: bool(seen), 10)
    exit_code = stop_demo(demo)
    reader.join(timeout=30)
    assert b"".join(seen).rstrip().endswith(b"data: [DONE]")
    assert exit_code == 0
    (database,) = tmp_path.rglob("codexproxy.sqlite3")
    rows = sqlite3.connect(database).execute("select outcome, output_tokens from stats_usagerecord").fetchall()
    assert [outcome for outcome, _ in rows] == ["ok"] and rows[0][1] > 0


def _bearer(demo: Demo) -> dict[str, str]:
    return {"authorization": f"Bearer {demo.key}"}
