"""Runs the processes of one machine: binds the port, starts gateways, then the worker, and keeps them alive.

Never imports Django: it must stay small and must outlive whatever breaks in its children. Children hear SIGTERM and
drain (see `gateway.py`); a second signal ends them at once. What each child runs is in `children.py`.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from types import FrameType

from codexproxy.serving import demo
from codexproxy.serving.children import Child, celery_command, gateway_command
from codexproxy.serving.options import BadOption, ServeOptions, fail, read_options

BIND_PATIENCE_S = 10.0
"""A predecessor that is still draining gives the port back within this time."""
GRACE_S = 45.0
"""Children get the drain period of 30 s, and time to flush their queues, before they are killed."""
BACKLOG = 2048


def main(arguments: list[str]) -> int:
    """Run `codexproxy serve` with `arguments` until told to stop; return the exit status."""
    try:
        options = read_options(arguments)
    except BadOption as error:
        fail(str(error))
    return serve(options)


def serve(options: ServeOptions) -> int:
    """Serve until a signal comes; return the exit status."""
    listener = bind(options.host, options.port)
    options = replace(options, port=listener.getsockname()[1])
    environment = {**os.environ, "CODEXPROXY_URL": options.url, "CODEXPROXY_WORKERS": str(options.workers)}
    supervisor = Supervisor(options, listener)
    if options.is_demo:
        port = demo.free_port()
        environment = demo.environment(environment, port)
        supervisor.add(Child("simulator", demo.simulator_command(port), environment, is_silent=True))
    for number in range(options.workers):
        supervisor.add_gateway(number, environment)
    supervisor.worker_environment = environment
    return supervisor.run()


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; waits a little for a predecessor to let go of the port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        fail(f"cannot listen on {host!r}: {error.strerror}. Give an address of this machine with --host.")
    patience_ends = time.monotonic() + BIND_PATIENCE_S
    is_told = False
    while True:
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            if time.monotonic() > patience_ends or error.errno != errno.EADDRINUSE:
                fail(f"cannot listen on {host}:{port}: {error.strerror}. Choose another port with --port or PORT.")
            if not is_told:
                print(f"Port {port} is in use; waiting for it …", file=sys.stderr, flush=True)
                is_told = True
            time.sleep(0.5)
        else:
            return listener


class Supervisor:
    """Invariant: every child is running, waiting for its restart, or, while stopping, on its way out."""

    def __init__(self, options: ServeOptions, listener: socket.socket) -> None:
        self._options = options
        self._listener = listener
        self._children: list[Child] = []
        self._ready_read, self._ready_write = os.pipe()
        self._wake_read, self._wake_write = os.pipe()
        self._signals: list[int] = []
        self._is_worker_started = False
        self.worker_environment: Mapping[str, str] = os.environ

    def add(self, child: Child) -> None:
        """Take charge of `child`."""
        self._children.append(child)

    def add_gateway(self, number: int, environment: Mapping[str, str]) -> None:
        """Add one gateway process, which shares the listening socket. Number 0 prepares the first run."""
        descriptors = (self._listener.fileno(), self._ready_write)
        command = gateway_command(number, *descriptors)
        own = {**environment, "CODEXPROXY_GATEWAY_NUMBER": str(number)}
        self.add(Child(f"gateway-{number}", command, own, descriptors, is_vital=number == 0))

    def run(self) -> int:
        """Start everything, watch over it, and stop it in order; return the exit status."""
        self._listen_for_signals()
        status = 0
        try:
            for child in self._children:
                child.start()
            while not self._signals:
                self._wait(1.0)
                for child in self._children:
                    if child.has_failed_to_start():
                        status = child.last_status or 1
                        self._signals.append(signal.SIGTERM)
                    child.restart_if_needed(time.monotonic())
        finally:
            self._stop()
        return status

    def _wait(self, at_most_s: float) -> None:
        """Sleep until a signal, a ready gateway, or the time."""
        readable, _, _ = select.select([self._wake_read, self._ready_read], [], [], at_most_s)
        if self._wake_read in readable:
            os.read(self._wake_read, 512)
        if self._ready_read in readable:
            os.read(self._ready_read, 512)
            self._start_worker()

    def _start_worker(self) -> None:
        # After the first gateway is ready: the background worker must not slow down the first answer.
        if self._is_worker_started:
            return
        self._is_worker_started = True
        for child in self._children:
            child.is_vital = False
        if not self._options.has_worker:
            return
        worker = Child("worker", celery_command(), self.worker_environment)
        self.add(worker)
        worker.start()

    def _listen_for_signals(self) -> None:
        os.set_blocking(self._wake_write, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note_signal)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def _note_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals.append(number)

    def _stop(self) -> None:
        """Tell everybody to finish and wait; a second signal, or the end of patience, kills."""
        self._listener.close()
        for child in self._children:
            # The simulated upstream goes last: running answers still need it.
            if child.name != "simulator":
                child.signal(signal.SIGTERM)
        ends_at = time.monotonic() + GRACE_S
        while self._running("simulator"):
            if len(self._signals) > 1 or time.monotonic() > ends_at:
                for child in self._children:
                    child.signal(signal.SIGKILL)
                break
            self._wait(0.5)
        for child in self._children:
            child.signal(signal.SIGKILL)
            child.wait()

    def _running(self, but: str) -> list[Child]:
        return [child for child in self._children if child.name != but and child.is_running()]
