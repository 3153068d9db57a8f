"""What the tests of all codecs share: golden cases on disk, and the three ways to cut a stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

GOLDEN = Path(__file__).parents[1] / "golden"


class GoldenCase:
    """One folder of `tests/golden/<codec>/`: a transcript that is never rewritten, and files derived from it."""

    def __init__(self, folder: Path, is_updating: bool) -> None:
        self._folder = folder
        self._is_updating = is_updating

    @property
    def stream(self) -> bytes:
        """The transcript."""
        return (self._folder / "stream.sse").read_bytes()

    def expect(self, name: str, text: str) -> None:
        """Compare a derived file; write it when `--update-golden` was given."""
        path = self._folder / name
        if self._is_updating:
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"{path.name} of {self._folder.name} is missing; run pytest --update-golden"
        assert text == path.read_text(encoding="utf-8")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], GoldenCase]:
    """Open a golden case: `golden("openai-responses", "text")`."""
    is_updating = bool(request.config.getoption("--update-golden", default=False))
    return lambda codec, case: GoldenCase(GOLDEN / codec / case, is_updating)


def golden_cases(codec: str) -> list[str]:
    """Names of all cases of a codec."""
    return sorted(path.name for path in (GOLDEN / codec).iterdir() if path.is_dir())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for `<codec>_case` every case of that codec, `_` standing for `-`."""
    for name in metafunc.fixturenames:
        codec = name.removesuffix("_case").replace("_", "-")
        if name.endswith("_case") and (GOLDEN / codec).is_dir():
            metafunc.parametrize(name, golden_cases(codec))


@pytest.fixture
def cuts() -> Callable[[bytes], Iterator[list[bytes]]]:
    """The ways a stream may arrive: whole, byte by byte, and in uneven pieces."""

    def ways(data: bytes) -> Iterator[list[bytes]]:
        yield [data]
        yield [data[index : index + 1] for index in range(len(data))]
        for size in (7, 61, 509):
            yield [data[index : index + size] for index in range(0, len(data), size)]

    return ways


@pytest.fixture
def events_as_jsonl() -> Callable[[list[Any]], str]:
    """Write events one a line, errors with their class and code, for derived golden files."""

    def enc_hook(value: Any) -> Any:
        if isinstance(value, Exception):
            return {"error": type(value).__name__, "code": getattr(value, "code", ""), "message": str(value)}
        raise NotImplementedError

    def write(events: list[Any]) -> str:
        lines = []
        for event in events:
            fields = json.loads(msgspec.json.encode(event, enc_hook=enc_hook))
            lines.append(json.dumps({"event": type(event).__name__, **fields}, ensure_ascii=False))
        return "\n".join(lines) + "\n"

    return write
