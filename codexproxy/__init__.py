"""The project itself: composition root. Read `asgi.py` first, then `wiring.py`, then `gateway/flow.py`."""

__version__ = "0.1.0"
