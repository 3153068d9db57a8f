"""Rows and columns of the matrix: every transcript on disk, every column found in `columns/`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

import msgspec

from tests.translation.matrix import columns
from tests.translation.matrix.contract import Column, Truth

TRANSCRIPTS = Path(__file__).parents[2] / "golden" / "openai-responses"


def find_columns() -> tuple[Column, ...]:
    """Every column of every file in `columns/`."""
    found: list[Column] = []
    for module in pkgutil.iter_modules(columns.__path__):
        found += importlib.import_module(f"{columns.__name__}.{module.name}").COLUMNS
    return tuple(found)


COLUMNS = find_columns()
NAMES = sorted(folder.name for folder in TRANSCRIPTS.iterdir() if folder.is_dir())


@cache
def transcript(name: str) -> bytes:
    """The bytes of an upstream stream."""
    return (TRANSCRIPTS / name / "stream.sse").read_bytes()


@cache
def truth(name: str) -> Truth:
    """What the transcript says, as its `said.json` has it."""
    return msgspec.json.decode((TRANSCRIPTS / name / "said.json").read_bytes(), type=Truth)
