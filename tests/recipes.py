"""Reads the Dockerfile and compose.yaml for tests: their instructions, and what compose makes of variables."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent


def dockerfile() -> list[tuple[str, str]]:
    """Return (instruction, arguments) in order, continued lines joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split()[0], line.split(maxsplit=1)[1].strip()) for line in joined.splitlines() if line.strip()]


def image_copies() -> list[str]:
    """Return what is copied from this repository into the image."""
    copies = [value.split() for name, value in dockerfile() if name == "COPY" and "--from=" not in value]
    return [source for words in copies for source in words[:-1]]


def image_environment() -> dict[str, str]:
    """Return the variables of the image."""
    [words] = [value for name, value in dockerfile() if name == "ENV"]
    return dict(word.split("=", 1) for word in words.split())


def image_healthcheck() -> list[str]:
    """Return the command that says whether a container is well."""
    [value] = [value for name, value in dockerfile() if name == "HEALTHCHECK"]
    return list(json.loads(value.split(" CMD ", 1)[1]))


def services(**variables: str) -> dict[str, dict[str, Any]]:
    """Return compose's services, with `${NAME:-default}` replaced as compose does."""
    text = (ROOT / "compose.yaml").read_text()
    filled = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: variables.get(found[1]) or found[2], text)
    found: dict[str, dict[str, Any]] = yaml.safe_load(filled)["services"]
    return found
