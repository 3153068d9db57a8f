"""The hot path: one request from bytes to bytes. Never reaches Django, not even indirectly (import contract).

`flow.py` reads top to bottom and is the map; `lane.py` decides relay or translate; `pump.py` moves chunks; `retry.py`
is the pure table of what follows a failure; `state/` is what processes share; `snapshot.py` is what a request sees.
"""
