"""Thought signatures: how a proof of reasoning travels through a Gemini client and back.

A signature stands on the part that the reasoning led to. It is `bytes` in the SDKs, so the proof is base64 of its text;
one part may carry the proofs of several reasoning items, separated by spaces. What is not ours is never forwarded.
Facts: spec/translation.md §3.4, §7.1, §7.2.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from translation.ir.events import Proof
from translation.shared.proofs import CODEX_ORIGIN, MAX_PROOF_CHARS, is_codex_proof

_TO_STANDARD = str.maketrans("-_", "+/")
_MOST_WRAPPINGS = 2
"""SDKs that take the text for bytes encode it once more."""


def write_signature(proofs: Sequence[Proof]) -> str | None:
    """Return the signature that carries `proofs`; None when none of them is ours to give out."""
    tokens = [proof.value for proof in proofs if proof.origin == CODEX_ORIGIN and proof.value]
    return base64.b64encode(" ".join(tokens).encode()).decode() if tokens else None


def read_signature(value: Any) -> tuple[Proof, ...]:
    """Return the proofs a signature carries; none when another vendor made it."""
    if not isinstance(value, str) or not value or len(value) > 2 * MAX_PROOF_CHARS:
        return ()
    text: str | None = value
    for _ in range(_MOST_WRAPPINGS + 1):
        if text is None:
            break
        tokens = text.split(" ")
        if all(is_codex_proof(token) for token in tokens):
            return tuple(Proof(CODEX_ORIGIN, token) for token in tokens)
        text = _unwrap(text)
    return ()


def _unwrap(text: str) -> str | None:
    body = text.translate(_TO_STANDARD).rstrip("=")
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return None
