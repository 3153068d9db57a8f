"""The test stand: fake upstream, gateway and, where installed, nginx, each where and how a run wants it.

The gateway is set up and started as a person would: by its command line, in a data folder of its own. Everything is
on loopback and in one temporary folder; `Stand` ends what it started.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.perf import nginx, processes
from tests.perf.bodies import MODEL, body_of
from tests.perf.load import Endpoint
from tests.perf.shape import Shape

ROOT = Path(__file__).resolve().parent.parent.parent
UPSTREAM_PATH = "/backend-api/codex/responses"
LANES = {"relay": ("/v1/responses", "responses"), "translate": ("/v1/chat/completions", "chat")}
DIALECTS = {
    "messages": ("/v1/messages", "messages"),
    "gemini": (f"/v1beta/models/{MODEL}:streamGenerateContent?alt=sse", "gemini"),
}
"""More of the translate lane; measured by every row that needs no process of its own."""
ACCOUNT_CONCURRENCY = 100_000
START_S = 60.0
SETTLE_S = 20.0
NOT_PASSED_ON = ("DATABASE_URL", "REDIS_URL", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "DJANGO_SETTINGS_MODULE")
"""Variables of the caller that would change what is measured."""


class NotReady(Exception):
    """Something of the stand did not start; the message holds the end of its log."""


class Gateway:
    """One gateway with its own data folder. Invariant: `pid` is its serving process while it runs."""

    def __init__(
        self, folder: Path, base_url: str, processor: int | None, ca_file: Path | None = None, redis_url: str = ""
    ) -> None:
        self.port = processes.free_port()
        self.pid = 0
        self.key = ""
        self.folder = folder
        self._log = folder / "gateway.log"
        self._processor = processor
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = _environment(folder / "data", base_url, ca_file) | {"REDIS_URL": redis_url}

    def prepare(self) -> None:
        """Make the database, one account without a practical limit of requests at once and unpaced, and one API key."""
        self._command("migrate", "--verbosity", "0")
        account = json.loads(self._command("account", "add", "--access-token", unsigned_token(), "--label", "perf"))
        edit = (
            "from accounts.services import account_edit; account_edit("
            f"account_id={account['id']!r}, actor='perf', label='perf', max_concurrency={ACCOUNT_CONCURRENCY})"
        )
        self._command("shell", "--verbosity", "0", "--command", edit)
        self._command("settings", "set", "auth.request_interval_ms", "0")
        self.key = json.loads(self._command("key", "create", "--user", "perf", "--name", "perf"))["key"]

    def start(self) -> float:
        """Start the gateway; return the seconds until it has answered a request. Raises: NotReady."""
        began_at = time.monotonic()
        self._process = processes.start(
            [*_program(), "serve", "--host", "127.0.0.1", "--port", str(self.port)],
            processor=self._processor, log=self._log, cwd=ROOT, environment=self._environment,
        )  # fmt: skip
        while time.monotonic() - began_at < START_S and self._process.poll() is None:
            if _is_answered(self.endpoint("translate")):
                took_s = time.monotonic() - began_at
                self.pid = processes.find_descendant(self._process.pid, "codexproxy.serving.gateway")
                return took_s
            time.sleep(0.02)
        self.stop()
        raise NotReady(f"the gateway did not answer within {START_S:g} s:\n{_end_of(self._log)}")

    def settle(self) -> None:
        """Wait until the background worker has started too, which must not compute while something is measured."""
        if self._process is not None:
            processes.wait_until_idle(self._process.pid, SETTLE_S)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            processes.stop(self._process)
            self._process = None

    def endpoint(self, lane: str) -> Endpoint:
        """Return where a lane is reached."""
        path, dialect = (LANES | DIALECTS)[lane]
        return Endpoint(self.port, path, dialect, self.key)

    def _command(self, *arguments: str) -> str:
        done = subprocess.run(
            [*_program(), *arguments], cwd=ROOT, env=self._environment, capture_output=True, text=True, timeout=120
        )
        if done.returncode != 0:
            raise NotReady(f"`codexproxy {arguments[0]}` failed:\n{done.stderr[-2000:]}")
        return done.stdout


class Stand:
    """All processes of a run. Use as a context manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.measured_processor, self.load_processor = processes.processors()
        self.open_files = processes.raise_open_files()
        self.upstream_port = 0
        self.upstream_pid = 0
        self._started: list[subprocess.Popen[bytes]] = []
        self._gateways: list[Gateway] = []

    def __enter__(self) -> Stand:
        processes.move_to(self.load_processor)
        upstream = processes.start(
            [sys.executable, "-m", "tests.perf.upstream"],
            processor=self.load_processor, log=self.folder / "upstream.log", cwd=ROOT, output=subprocess.PIPE,
        )  # fmt: skip
        self._started.append(upstream)
        assert upstream.stdout is not None  # asked for above
        line = upstream.stdout.readline()
        if not line:
            self.close()
            raise NotReady(f"the fake upstream did not start:\n{_end_of(self.folder / 'upstream.log')}")
        self.upstream_port, self.upstream_pid = int(line), upstream.pid
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything, the gateways first."""
        for gateway in self._gateways:
            gateway.stop()
        while self._started:
            processes.stop(self._started.pop())

    @property
    def direct(self) -> Endpoint:
        """Return the upstream itself."""
        return Endpoint(self.upstream_port, UPSTREAM_PATH, "responses")

    def gateway(self) -> Gateway:
        """Return a prepared gateway in front of the upstream."""
        return self._prepared("gateway", "")

    def gateway_with_redis(self) -> Gateway | None:
        """Return another one, whose state is on a Redis that is started beside the load; None where there is none."""
        program = shutil.which("redis-server")
        if program is None:
            return None
        port = processes.free_port()
        log = self.folder / "redis.log"
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._started.append(processes.start(command, processor=self.load_processor, log=log, cwd=self.folder))
        return self._prepared("gateway-redis", f"redis://127.0.0.1:{port}/0")

    def _prepared(self, name: str, redis_url: str) -> Gateway:
        folder = self.folder / name
        folder.mkdir()
        base_url = f"http://127.0.0.1:{self.upstream_port}/backend-api"
        gateway = Gateway(folder, base_url, self.measured_processor, redis_url=redis_url)
        self._gateways.append(gateway)
        gateway.prepare()
        return gateway

    def gateway_over_https(self, gateway: Gateway, base_url: str, authority: Path) -> Gateway:
        """Return `gateway`, which has been stopped, in front of another upstream that `authority` vouches for."""
        other = Gateway(gateway.folder, base_url, self.measured_processor, authority)
        other.key = gateway.key
        self._gateways.append(other)
        return other

    def nginx_beside(self) -> tuple[Endpoint, int] | None:
        """Start nginx where the gateway is, passing on and nothing else; return it and its pid, if it is installed."""
        port = processes.free_port()
        process = self._nginx("nginx", nginx.plain_server(port), self.measured_processor)
        return None if process is None else (Endpoint(port, UPSTREAM_PATH, "responses"), process.pid)

    def nginx_as_https(self) -> tuple[str, Path, Endpoint] | None:
        """Start nginx before the upstream, speaking TLS and HTTP/2; None where it cannot.

        Returns the base URL, the certificate to trust, and the same nginx without TLS: the baseline of these rows.
        """
        if not nginx.has_http2():
            return None
        secure, plain = processes.free_port(), processes.free_port()
        folder = self.folder / "https"
        folder.mkdir()
        authority = nginx.write_certificates(folder)
        servers = nginx.plain_server(plain) + nginx.tls_server(secure, folder)
        if self._nginx("https", servers, self.load_processor) is None:
            return None
        return f"https://127.0.0.1:{secure}/backend-api", authority, Endpoint(plain, UPSTREAM_PATH, "responses")

    def _nginx(self, name: str, servers: str, processor: int | None) -> subprocess.Popen[bytes] | None:
        program = nginx.find_program()
        if program is None:
            return None
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        configuration = folder / "nginx.conf"
        configuration.write_text(nginx.configuration(folder, self.upstream_port, servers, self.open_files))
        command = [program, "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(configuration)]
        process = processes.start(command, processor=processor, log=folder / "output.log", cwd=folder)
        self._started.append(process)
        time.sleep(0.5)
        if process.poll() is not None:
            raise NotReady(f"nginx did not start:\n{_end_of(folder / 'error.log')}")
        return process


def unsigned_token() -> str:
    """Return an access token that reads like a real one and is signed by nobody."""
    now = int(time.time())
    user = "user-perf"
    claims = {
        "iss": "https://auth.openai.com", "sub": "auth0|perf", "aud": ["https://api.openai.com/v1"], "iat": now,
        "exp": now + 10 * 86_400, "https://api.openai.com/profile": {"email": "perf@example.com"},
        "https://api.openai.com/auth": {
            "chatgpt_account_id": "00000000-0000-4000-8000-000000000001", "chatgpt_plan_type": "pro",
            "chatgpt_user_id": user, "user_id": user,
        },
    }  # fmt: skip
    return ".".join((_segment({"alg": "none", "typ": "JWT"}), _segment(claims), "c2lnbmF0dXJl"))


def _segment(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _program() -> list[str]:
    script = Path(sys.executable).parent / "codexproxy"
    return [str(script)] if script.exists() else [sys.executable, str(ROOT / "manage.py")]


def _environment(data: Path, base_url: str, ca_file: Path | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.upper() not in NOT_PASSED_ON}
    nowhere = "http://127.0.0.1:9"
    kept |= {"CODEXPROXY_DATA_DIR": str(data), "CODEX_BASE_URL": base_url}
    # Nothing may leave this machine, whatever the background worker looks for.
    kept |= {"OPENAI_AUTH_URL": nowhere, "IP_ECHO_URL": nowhere, "CLIENT_FEED_URL": nowhere}
    return kept | ({"SSL_CERT_FILE": str(ca_file)} if ca_file else {})


def _is_answered(endpoint: Endpoint) -> bool:
    """Send one small request; true when the answer is whole."""
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=START_S)
    body = json.dumps(body_of(endpoint.dialect, Shape(8).marker, 0))
    try:
        connection.request(
            "POST", endpoint.path, body, {"authorization": f"Bearer {endpoint.key}", "content-type": "application/json"}
        )
        answer = connection.getresponse()
        return answer.status == 200 and b"[DONE]" in answer.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:] if log.exists() else "(no log)"
