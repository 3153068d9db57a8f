"""Secrets that a first run creates for itself: made once, kept in the data folder, readable by the owner only."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def read_or_create_secret(path: Path) -> str:
    """Return the secret in `path`, creating it first if needed; safe when two processes start at once."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    candidate = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(candidate, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(48))
    try:
        os.link(candidate, path)  # atomic and never overwrites: the first process wins
    except FileExistsError:
        pass
    finally:
        candidate.unlink()
    return path.read_text().strip()
