"""The process behind `tokenizer.py`: a JSON list of texts per line in, their tokens in o200k_base per line out.

Imports nothing of the project, so that it is small and starts quickly. Ends with its standard input.
"""

from __future__ import annotations

import json
import sys

import toktok  # pyright: ignore[reportMissingTypeStubs]


def main() -> None:
    """Answer until nobody asks any more."""
    for line in sys.stdin.buffer:
        texts = [_encodable(text) for text in json.loads(line)]
        print(sum(toktok.batch_count(texts, "o200k_base", threads=1)), flush=True)  # noqa: T201 -- it is the answer


def _encodable(text: str) -> str:
    """Return `text` with its lone surrogates, which no tokenizer can read, replaced."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


if __name__ == "__main__":
    main()
