"""The options of `serve`, from the command line and the environment. Imports nothing heavy: the supervisor is lean."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import NoReturn

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8080


class BadOption(Exception):
    """An option cannot be used; the message says which and what would do."""


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """What `serve` was asked for."""

    host: str
    port: int
    workers: int = 1
    is_demo: bool = False
    has_worker: bool = True
    """False where the background worker and its scheduler are started apart."""

    @property
    def url(self) -> str:
        """Return the address that a browser on this machine can open."""
        return f"http://{url_host(self.host)}:{self.port}"


def url_host(host: str) -> str:
    """Return `host` as it stands in a URL; the wildcard addresses become this machine's own."""
    if host in {"", "0.0.0.0", "::"}:  # noqa: S104 -- compared with, not bound to
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `codexproxy serve`."""
    parser = argparse.ArgumentParser(
        prog="codexproxy serve",
        description="Run everything of one machine: the gateway, the dashboard and one background worker.",
    )
    add_arguments(parser)
    return parser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `serve` to `parser`."""
    parser.add_argument("--host", help=f"address to listen on (HOST, else {DEFAULT_HOST})")
    parser.add_argument("--port", type=int, help=f"port to listen on (PORT, else {DEFAULT_PORT})")
    parser.add_argument("--workers", type=int, default=1, help="gateway processes; more than one needs REDIS_URL")
    parser.add_argument(
        "--no-worker", action="store_false", dest="has_worker", help="the background worker is started apart"
    )
    parser.add_argument("--demo", action="store_true", help="use the built-in simulated upstream and demo accounts")


def read_options(arguments: list[str], environ: dict[str, str] | None = None) -> ServeOptions:
    """Return the options in `arguments`, else those of the environment, else the defaults. Raises: BadOption."""
    known = os.environ if environ is None else environ
    given = build_parser().parse_args(arguments)
    return complete_options(
        host=given.host,
        port=given.port,
        workers=given.workers,
        is_demo=given.demo,
        has_worker=given.has_worker,
        environ=known,
    )


def complete_options(
    *,
    host: str | None,
    port: int | None,
    workers: int,
    is_demo: bool,
    has_worker: bool = True,
    environ: os._Environ[str] | dict[str, str],
) -> ServeOptions:
    """Fill gaps from the environment and check everything. Raises: BadOption."""
    if port is None:
        port = _port_of(environ.get("PORT", ""))
    if not 0 <= port <= 65535:
        raise BadOption(f"The port must be between 0 and 65535, not {port}.")
    if workers < 1:
        raise BadOption("--workers must be at least 1.")
    if workers > 1 and is_demo:
        raise BadOption("--demo keeps its state in memory, which processes cannot share. Leave --workers away.")
    if workers > 1 and not (environ.get("REDIS_URL") or environ.get("REDIS_URL_FILE")):
        raise BadOption(
            f"{workers} gateway processes must share slots and limits, and memory cannot be shared. Start a Redis and "
            "set REDIS_URL=redis://host:6379/0, or serve with one process."
        )
    return ServeOptions(
        host=host or environ.get("HOST") or DEFAULT_HOST,
        port=port,
        workers=workers,
        is_demo=is_demo,
        has_worker=has_worker,
    )


def _port_of(text: str) -> int:
    if not text:
        return DEFAULT_PORT
    if not text.isdigit():
        raise BadOption(f"The environment variable PORT must be a number, not {text!r}.")
    return int(text)


def fail(message: str) -> NoReturn:
    """End the program with one sentence for the person who started it."""
    raise SystemExit(f"codexproxy: {message}")
