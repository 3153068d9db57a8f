"""Processes of a run: starting and ending them, pinning them to a processor, reading what they use.

Linux only for the readings. Knows nothing of gateways; see `stand.py`.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Mapping
from pathlib import Path

CPU_CLOCK = 2
"""CPUCLOCK_SCHED: what the scheduler counted, the low bits of a process clock's id."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
OPEN_FILES = 16_384
STOP_S = 20.0


def free_port() -> int:
    """Return a free port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def raise_open_files() -> int:
    """Allow as many open files as a thousand streams need on both sides, if we may; return the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return soft


def processors() -> tuple[int | None, int | None]:
    """Return the processor for what is measured and the one for load and upstream; None for both on a single one."""
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[1]) if len(allowed) > 1 else (None, None)


def move_to(processor: int | None) -> None:
    """Pin this process; None leaves it where it is."""
    if processor is not None:
        os.sched_setaffinity(0, {processor})


def start(
    command: list[str],
    *,
    processor: int | None,
    log: Path,
    cwd: Path,
    environment: Mapping[str, str] | None = None,
    output: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command`, and with it all its children, on `processor`; its words go to `log`."""
    with pinned(processor), log.open("ab") as words:
        return subprocess.Popen(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output or words, stderr=words
        )


@contextlib.contextmanager
def pinned(processor: int | None) -> Generator[None, None, None]:
    """Run on `processor` for a moment: what is started meanwhile stays there."""
    before = os.sched_getaffinity(0)
    move_to(processor)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process we started: politely, then for good, with its children."""
    if process.poll() is None:
        family = descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            for pid in family:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
    if process.stdout is not None:
        process.stdout.close()


# ---- /proc -----------------------------------------------------------------------------------------------------------


def _stat(pid: int) -> list[str]:
    """Return the fields after the name, which may hold anything; [1] is the parent, [17] the number of threads."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_s(pid: int) -> float:
    """Return user and system CPU seconds of one process, all its threads, without children.

    The kernel's CPU clock of a process, exact where /proc counts in ticks of 10 ms; the id is made as
    clock_getcpuclockid(3) makes it, which Python has for threads only. Raises: OSError when the process is gone.
    """
    return time.clock_gettime((~pid << 3) | CPU_CLOCK)


def rss_bytes(pid: int) -> int:
    """Return the resident memory of one process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def thread_count(pid: int) -> int:
    """Return how many threads a process has."""
    return int(_stat(pid)[17])


def descendants(root: int) -> list[int]:
    """Return `root` and every process below it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it may have ended meanwhile
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    family: list[int] = []
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        family.append(pid)
        waiting += children.get(pid, [])
    return family


def find_descendant(root: int, words: str) -> int:
    """Return the process below `root` whose command line holds `words`. Raises: LookupError."""
    for pid in descendants(root):
        with contextlib.suppress(OSError):
            if words in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                return pid
    raise LookupError(f"no process below {root} is called {words!r}")


def wait_until_idle(root: int, at_most_s: float) -> None:
    """Wait until the whole family of `root` hardly computes for a second: what belongs to starting is over then."""
    ends_at = time.monotonic() + at_most_s
    before = _family_cpu_s(root)
    while time.monotonic() < ends_at:
        time.sleep(1.0)
        now = _family_cpu_s(root)
        if now - before < 0.06:
            return
        before = now


def _family_cpu_s(root: int) -> float:
    total = 0.0
    for pid in descendants(root):
        with contextlib.suppress(OSError):
            total += cpu_s(pid)
    return total
