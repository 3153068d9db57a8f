"""Names the whole package agrees on: the codec's name, item types, who the client is, how proofs travel.

Facts: spec/wire.md §3.3, spec/clients.md §1.2.
"""

from __future__ import annotations

from collections.abc import Mapping

from translation.ir.events import Proof

ORIGIN = "openai-responses"
"""The codec's name; also the origin of its proofs, opaque items and extensions."""

VALID_STATUS = frozenset({"in_progress", "completed", "incomplete"})

_FOREIGN_PROOF = "cpx1."


def is_codex_client(headers: Mapping[str, str]) -> bool:
    """Tell whether the caller is Codex itself, which understands `codex.*` events and owns its item fields."""
    return (
        headers.get("originator", "").lower().startswith("codex")
        or headers.get("user-agent", "").lower().startswith("codex")
        or any(name.startswith("x-codex-") for name in headers)
    )


def proof_to_wire(proof: Proof) -> str:
    """Write a proof as `encrypted_content`; one of another vendor is labeled, so that it finds its way home."""
    return proof.value if proof.origin == ORIGIN else f"{_FOREIGN_PROOF}{proof.origin}.{proof.value}"


def proof_from_wire(value: str) -> Proof:
    """Read what `proof_to_wire` wrote."""
    if value.startswith(_FOREIGN_PROOF):
        origin, dot, rest = value[len(_FOREIGN_PROOF) :].partition(".")
        if dot and origin:
            return Proof(origin, rest)
    return Proof(ORIGIN, value)


def is_foreign_proof(value: object) -> bool:
    """Tell whether `encrypted_content` carries another vendor's proof, which must not reach this wire's upstream."""
    return isinstance(value, str) and value.startswith(_FOREIGN_PROOF)
