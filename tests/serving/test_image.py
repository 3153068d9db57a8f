"""What the Dockerfile, compose.yaml and the unit for systemd promise, as far as files can tell. No engine is needed."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.recipes import ROOT, dockerfile, image_copies, services

LOCKED = re.compile(r"^([a-z0-9][a-z0-9._-]*(?:\[[^]]*\])?)==([^ ;\\]+)", re.MULTILINE)


def locked(name: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Return name → (version, hashes) of a lock file."""
    text = (ROOT / name).read_text()
    starts = list(LOCKED.finditer(text))
    ends = [found.start() for found in starts[1:]] + [len(text)]
    return {
        found[1]: (found[2], frozenset(re.findall(r"sha256:[0-9a-f]{64}", text[found.start() : end])))
        for found, end in zip(starts, ends, strict=True)
    }


def test_the_image_holds_every_package_of_the_project_and_nothing_that_does_not_exist() -> None:
    copied = image_copies()
    assert copied and all((ROOT / source).exists() for source in copied)
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.rstrip("*") for name in wanted} | {"templates", "locale"} <= set(copied)


def test_what_is_copied_into_the_image_is_what_dockerignore_lets_through() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*", "everything else stays out: data, secrets, .env"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == set(image_copies())


def test_the_image_runs_as_nobody_in_particular_and_holds_no_tools_to_build() -> None:
    steps = dockerfile()
    froms = [index for index, (name, _) in enumerate(steps) if name == "FROM"]
    assert len(froms) == 2 and all("python:3.11-slim" in steps[index][1] for index in froms)
    final = steps[froms[-1] :]
    user = [value for name, value in final if name == "USER"]
    assert user == ["10001:10001"]
    names = [name for name, _ in final]
    assert names.index("USER") < names.index("HEALTHCHECK") < names.index("CMD")
    runs = " ".join(value for name, value in final if name == "RUN")
    assert not re.search(r"apt-get|apk|pip|gcc", runs)
    assert [value for name, value in final if name == "VOLUME"] == ['["/data"]']


def test_the_image_installs_by_hash_what_was_tested_and_no_tools_of_development() -> None:
    [install] = [value for name, value in dockerfile() if name == "RUN" and "pip install" in value]
    assert "--require-hashes --no-deps -r requirements.server.lock" in install
    server, everything = locked("requirements.server.lock"), locked("requirements.lock")
    assert {name: everything.get(name) for name in server} == server, "run `make lock`"
    assert all(hashes for _, hashes in server.values())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    plain = {re.split(r"[\[<>=; ]", name)[0].lower().replace("_", "-") for name in project["dependencies"]}
    assert plain <= {re.sub(r"\[.*", "", name) for name in server}, "run `make lock`"
    assert not {"pytest", "mypy", "ruff", "playwright", "pyright"} & set(server)


def test_compose_keeps_everything_from_the_network_but_what_must_be_there() -> None:
    found = services()
    assert set(found) == {"gateway", "worker", "beat", "postgres", "redis", "caddy"}
    for name in ("gateway", "worker", "beat"):
        service = found[name]
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"] and service["init"] is True
        assert service["tmpfs"] == ["/tmp"] and service["volumes"] == ["data:/data"]
    assert found["gateway"]["ports"] == ["127.0.0.1:8080:8080"]
    assert [name for name in found if "ports" in found[name]] == ["gateway", "caddy"]
    assert found["caddy"]["profiles"] == ["tls"]
    assert "noeviction" in found["redis"]["command"]


def test_proxies_in_front_do_not_buffer() -> None:
    assert "flush_interval -1" in (ROOT / "deploy/Caddyfile").read_text()
    nginx = (ROOT / "deploy/nginx.conf").read_text()
    assert "proxy_buffering off;" in nginx and "proxy_request_buffering off;" in nginx


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_nginx_accepts_the_configuration(tmp_path: Path) -> None:
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=proxy.example.org", "-days", "1",
         "-keyout", str(tmp_path / "privkey.pem"), "-out", str(tmp_path / "fullchain.pem")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    site = (ROOT / "deploy/nginx.conf").read_text().replace("/etc/ssl/proxy.example.org", str(tmp_path))
    (tmp_path / "site.conf").write_text(site)
    whole = tmp_path / "nginx.conf"
    whole.write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{ access_log off; include {tmp_path}/site.conf; }}\n")
    done = subprocess.run(
        ["nginx", "-t", "-e", "stderr", "-c", str(whole)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def unit() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment]
    parser.read(ROOT / "deploy/codexproxy.service")
    return parser["Service"]


def test_the_unit_starts_serve_as_a_user_of_its_own_and_starts_it_again() -> None:
    service = unit()
    assert service["ExecStart"].endswith("/.venv/bin/codexproxy serve")
    assert service["User"] == "codexproxy" and service["Restart"] == "always"
    assert service["EnvironmentFile"].startswith("-"), "the embedded shape needs none"
    from codexproxy.serving.supervisor import GRACE_S

    assert int(service["TimeoutStopSec"]) > GRACE_S, "running answers may finish"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    path = tmp_path / "codexproxy.service"
    text = (ROOT / "deploy/codexproxy.service").read_text()
    path.write_text(text.replace("/opt/codexproxy/.venv/bin/codexproxy", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
