"""Starts the simulator from the command line: `python -m providers.simulator`, and `codexproxy simulate`.

Prints one line once it listens; SIGTERM and SIGINT stop it at once. Must not need Django.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import ssl
import sys
from collections.abc import Sequence

from providers.simulator.server import Options, Simulator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; the management command shares them."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8765, help="port to listen on; 0 takes any free one")
    parser.add_argument("--reply", default=Options.reply, help="what a plain prompt is answered with")
    parser.add_argument("--accounts", type=int, default=2, help="how many demo accounts to begin with")
    parser.add_argument("--pace-ms", type=float, default=0.0, help="pause before each word of a plain answer")
    parser.add_argument("--first-event-ms", type=float, default=0.0, help="pause before every model call answers")
    parser.add_argument("--quota-step", type=float, default=0.0, help="percent of the short window one call costs")
    parser.add_argument("--seed", type=int, default=0, help="seed of ids and of fault probabilities")
    parser.add_argument("--strict-accounts", action="store_true", help="refuse tokens minted elsewhere")
    parser.add_argument("--no-websockets", action="store_true", help="answer upgrades with 426")
    parser.add_argument("--tls-cert", help="certificate chain (PEM)")
    parser.add_argument("--tls-key", help="private key (PEM)")


def _tls(options: argparse.Namespace) -> ssl.SSLContext | None:
    if not options.tls_cert:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.tls_cert, options.tls_key)
    context.set_alpn_protocols(["http/1.1"])
    return context


async def serve(options: argparse.Namespace) -> None:
    """Run until a signal asks to stop."""
    demo = [
        {"percent_per_request": options.quota_step, "plan": ("plus", "pro", "team")[number % 3]}
        for number in range(options.accounts)
    ]
    sim = Simulator(
        accounts=demo,
        host=options.host,
        port=options.port,
        reply=options.reply,
        pace_s=options.pace_ms / 1000,
        first_event_s=options.first_event_ms / 1000,
        seed=options.seed,
        strict_accounts=options.strict_accounts,
        websockets=not options.no_websockets,
        tls=_tls(options),
    )
    finished = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, finished.set)
    async with sim:
        print(f"simulated upstream on {sim.base_url}", flush=True)  # noqa: T201 - the one line scripts wait for
        await finished.wait()


def run(options: argparse.Namespace) -> None:
    """Run on the fastest event loop there is."""
    try:
        import uvloop
    except ImportError:
        asyncio.run(serve(options))
    else:
        uvloop.run(serve(options))


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="providers.simulator", description="A simulated Codex upstream.")
    add_arguments(parser)
    run(parser.parse_args(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    main()
