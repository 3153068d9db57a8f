"""The order of the passes, and the interface of what they leave behind.

Outbound order matters: pairing first (it drops and adds items), then ids and names (they rename what is left), then
custom tools and wrapping, the `Read` hint, tuples and schemas (tuples become objects that the strict check must see),
efforts, stop sequences. Inbound: tuples (they know the tools by their upstream names), `Read`, unwrapping, custom
tools, names, stop sequences last (they need the final text).
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from translation.codec import Quirks
from translation.ir.events import Event
from translation.ir.request import GenerateRequest
from translation.passes import custom_tools, ids, names, pairing, read_pages, schemas, stop_sequences, tuples, wrapping
from translation.shared import efforts


class Inverse(Protocol):
    """Undoes one rewrite on the way back. `is_finished` asks the pump to cancel the upstream: the answer is whole."""

    @property
    def is_finished(self) -> bool: ...

    def inbound(self, events: list[Event]) -> list[Event]: ...


class Prepared(Struct, frozen=True):
    """A request that the upstream accepts, and the inverses to run over its events, in order."""

    request: GenerateRequest
    inverses: tuple[Inverse, ...] = ()


def prepare(request: GenerateRequest, quirks: Quirks) -> Prepared:
    """Make `request` acceptable for an upstream with `quirks`. Idempotent.

    Raises: InvalidRequest when a strict schema is not strict.
    """
    request = pairing.repair(request)
    request = ids.shorten(request, quirks.max_id_chars)
    request, name_inverse = names.rename(request, quirks.max_name_chars)
    custom_inverse = None
    if not quirks.custom_tools:
        request, custom_inverse = custom_tools.as_functions(request)
    request, wrap_inverse = wrapping.wrap(request)
    request, pages_inverse = read_pages.guide(request)
    request, tuple_inverse = tuples.convert(request)
    request = schemas.prepare(request)
    request = _fit_effort(request, quirks)
    stop_inverse = None
    if quirks.subset:  # other upstreams stop by themselves
        request, stop_inverse = stop_sequences.intercept(request)
    inverses: tuple[Inverse | None, ...] = (
        tuple_inverse,
        pages_inverse,
        wrap_inverse,
        custom_inverse,
        name_inverse,
        stop_inverse,
    )
    return Prepared(request, tuple(inverse for inverse in inverses if inverse is not None))


def _fit_effort(request: GenerateRequest, quirks: Quirks) -> GenerateRequest:
    """Clamp the effort to what the model knows; a token budget becomes an effort where budgets do not exist."""
    reasoning = request.reasoning
    if reasoning is None:
        return request
    effort, budget = efforts.clamp(reasoning.effort, quirks.efforts), reasoning.budget_tokens
    if quirks.subset and budget is not None:
        effort = effort or efforts.from_budget(budget, quirks.efforts)
        budget = None
    if effort == reasoning.effort and budget == reasoning.budget_tokens:
        return request
    return replace(request, reasoning=replace(reasoning, effort=effort, budget_tokens=budget))


def run_inbound(inverses: tuple[Inverse, ...], events: list[Event]) -> list[Event]:
    """Send the events of one chunk through the inverses, in order."""
    for inverse in inverses:
        events = inverse.inbound(events)
    return events


def is_finished(inverses: tuple[Inverse, ...]) -> bool:
    """Say whether an inverse ended the answer, so that the upstream can be cancelled."""
    return any(inverse.is_finished for inverse in inverses)
