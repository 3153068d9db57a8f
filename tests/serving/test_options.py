"""The options of `serve`: the command line beats the environment beats the defaults; mistakes are sentences."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from codexproxy.serving import demo
from codexproxy.serving.options import BadOption, ServeOptions, read_options
from codexproxy.serving.supervisor import bind


def test_the_defaults_are_this_machine_only() -> None:
    assert read_options([], {}) == ServeOptions(host="127.0.0.1", port=8080)


def test_the_command_line_beats_the_environment() -> None:
    environ = {"HOST": "0.0.0.0", "PORT": "9000", "REDIS_URL": "redis://host"}

    assert read_options([], environ) == ServeOptions(host="0.0.0.0", port=9000)
    assert read_options(["--host", "::1", "--port", "1", "--workers", "2"], environ) == ServeOptions(
        host="::1", port=1, workers=2
    )
    assert read_options(["--demo"], environ).is_demo
    assert read_options(["--no-worker"], environ).has_worker is False and read_options([], environ).has_worker


@pytest.mark.parametrize("arguments", [["--port", "70000"], ["--workers", "0"]])
def test_impossible_options_are_refused(arguments: list[str]) -> None:
    with pytest.raises(BadOption):
        read_options(arguments, {})


def test_several_processes_without_a_shared_state_are_refused_with_what_to_do() -> None:
    with pytest.raises(BadOption, match="set REDIS_URL=redis://"):
        read_options(["--workers", "2"], {})
    with pytest.raises(BadOption, match="Leave --workers away"):
        read_options(["--workers", "2", "--demo"], {"REDIS_URL": "redis://host"})
    assert read_options(["--workers", "2"], {"REDIS_URL_FILE": "/secret"}).workers == 2


def test_a_port_that_is_no_number_names_its_variable() -> None:
    with pytest.raises(BadOption, match="PORT"):
        read_options([], {"PORT": "http"})


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("::1", "http://[::1]:1"),
        ("::", "http://127.0.0.1:1"),
    ],
)
def test_the_printed_address_opens_in_a_browser(host: str, url: str) -> None:
    assert ServeOptions(host=host, port=1).url == url


def test_the_demo_never_touches_the_real_data_or_a_real_upstream() -> None:
    environment = demo.environment(
        {"CODEXPROXY_DATA_DIR": "/data", "DATABASE_URL": "postgres://real", "REDIS_URL_FILE": "/secret", "TZ": "UTC"}, 9
    )

    assert environment["CODEXPROXY_DATA_DIR"] == "/data/demo"
    assert environment["TZ"] == "UTC"
    assert not {"DATABASE_URL", "REDIS_URL_FILE"} & environment.keys()
    for name in ("CODEX_BASE_URL", "OPENAI_AUTH_URL", "IP_ECHO_URL", "CLIENT_FEED_URL"):
        assert environment[name].startswith("http://127.0.0.1:9")


def test_a_taken_port_ends_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codexproxy.serving.supervisor.BIND_PATIENCE_S", 0)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(SystemExit) as exit_:
        bind("127.0.0.1", taken.getsockname()[1])

    assert "Choose another port" in str(exit_.value)


def test_an_address_of_somebody_else_ends_in_a_sentence() -> None:
    with pytest.raises(SystemExit) as exit_:
        bind("192.0.2.1", 0)

    assert "cannot listen" in str(exit_.value)


def test_the_supervisor_stays_lean() -> None:
    program = "import sys; import codexproxy.serving.supervisor; print(sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    for heavy in ("'django'", "'celery'", "'asyncio'", "'uvicorn'", "'httpx'"):
        assert heavy not in loaded
