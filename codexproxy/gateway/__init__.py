"""The hot path: one request from bytes to bytes. Never reaches Django, not even indirectly (import contract).

`flow.py` reads top to bottom and is the map; `attempt.py` is one try on one account; `exchange.py` is what the client
sees; `lane.py` decides relay or translate; `pump.py` moves chunks; `retry.py` is the pure table of what follows a
failure; `journal.py` keeps answers that may be continued; `state/` is what processes share; `snapshot.py` is what a
request sees.
"""
