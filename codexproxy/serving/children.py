"""One child process of the supervisor, how it is restarted, and the command lines of the gateway and the worker."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
STABLE_S = 60.0
"""A child that lived this long starts again without the pauses of earlier crashes."""


class Child:
    """A command that should always run. The pause before a restart doubles with every quick crash."""

    def __init__(
        self,
        name: str,
        command: list[str],
        environment: Mapping[str, str],
        descriptors: tuple[int, ...] = (),
        *,
        is_vital: bool = False,
        is_silent: bool = False,
    ) -> None:
        self.name = name
        self.is_vital = is_vital
        """True while its first start must succeed: if it fails, so does everything."""
        self.last_status: int | None = None
        self._command = command
        self._environment = dict(environment)
        self._descriptors = descriptors
        self._stdout = subprocess.DEVNULL if is_silent else None
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._restart_at: float | None = None
        self._pause_s = FIRST_PAUSE_S

    def start(self) -> None:
        """Start the command. It leads its own group: Ctrl-C in a terminal reaches the supervisor alone."""
        self._process = subprocess.Popen(  # noqa: S603 -- our own command lines
            self._command,
            env=self._environment,
            pass_fds=self._descriptors,
            stdout=self._stdout,
            start_new_session=True,
        )
        self._started_at = time.monotonic()
        self._restart_at = None

    def is_running(self) -> bool:
        """Tell whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def has_failed_to_start(self) -> bool:
        """Tell whether a vital child ended before it was ever ready."""
        if not self.is_vital or self.is_running() or self._process is None:
            return False
        self.last_status = self._process.returncode
        return True

    def restart_if_needed(self, now: float) -> None:
        """Plan the restart of a dead process, or carry it out when its time has come."""
        if self.is_running() or self._process is None or self.is_vital:
            return
        if self._restart_at is None:
            if now - self._started_at > STABLE_S:
                self._pause_s = FIRST_PAUSE_S
            self._restart_at = now + self._pause_s
            status = self._process.returncode
            print(
                f"{self.name} ended ({_words(status)}); restarting in {self._pause_s:g} s", file=sys.stderr, flush=True
            )
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        elif now >= self._restart_at:
            self.start()

    def signal(self, number: int) -> None:
        """Send a signal, if there is anybody to hear it."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def wait(self) -> None:
        """Wait until the process is gone."""
        if self._process is not None:
            self._process.wait()


def gateway_command(number: int, listener: int, ready: int) -> list[str]:
    """Return the command line of gateway process `number`."""
    return [
        sys.executable,
        "-m",
        "codexproxy.serving.gateway",
        f"--number={number}",
        f"--listener={listener}",
        f"--ready={ready}",
    ]


def celery_command() -> list[str]:
    """Return the command line of the one background worker, with beat inside."""
    return [sys.executable, "-m", "codexproxy.serving.worker"]


def _words(status: int | None) -> str:
    if status is not None and status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"
