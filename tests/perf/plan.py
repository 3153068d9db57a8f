"""How much a run measures: everything of a row that is a number. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tests.perf.shape import Shape


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The sizes of all rows. Every loop ends after its count of answers, and after `loop_s` at the latest."""

    rounds: int
    loop_s: float
    alone_requests: int
    """Requests of one client to each target, in turn."""
    crowd_clients: int
    crowd_blocks: int
    crowd_answers: int
    crowd_shape: Shape
    paced_streams: int
    paced_shape: Shape
    burst_clients: int
    burst_answers: int
    burst_shape: Shape
    small_clients: int
    small_answers: int
    small_shape: Shape
    slow_streams: int
    slow_shape: Shape
    slow_ramp_s: float
    bodies: tuple[tuple[str, int, int], ...]
    """Row, size in bytes, requests to each target."""
    with_https: bool


FULL = Plan(
    rounds=2,
    loop_s=30.0,
    alone_requests=200,
    crowd_clients=50,
    crowd_blocks=4,
    crowd_answers=5,
    crowd_shape=Shape(20, 20),
    paced_streams=100,
    paced_shape=Shape(600, 10),
    burst_clients=16,
    burst_answers=40,
    burst_shape=Shape(500),
    small_clients=16,
    small_answers=120,
    small_shape=Shape(8),
    slow_streams=1000,
    slow_shape=Shape(12, 1000),
    slow_ramp_s=4.0,
    bodies=(("body_1mb", 1_000_000, 15), ("body_10mb", 10_000_000, 5)),
    with_https=True,
)

QUICK = Plan(
    rounds=1,
    loop_s=6.0,
    alone_requests=30,
    crowd_clients=50,
    crowd_blocks=2,
    crowd_answers=2,
    crowd_shape=Shape(20, 20),
    paced_streams=60,
    paced_shape=Shape(200, 10),
    burst_clients=8,
    burst_answers=10,
    burst_shape=Shape(500),
    small_clients=8,
    small_answers=30,
    small_shape=Shape(8),
    slow_streams=200,
    slow_shape=Shape(6, 500),
    slow_ramp_s=1.0,
    bodies=(("body_1mb", 1_000_000, 3), ("body_10mb", 10_000_000, 1)),
    with_https=False,
)
