"""A simulated Codex upstream: what the backend accepts, answers and refuses, after `spec/wire.md` §13.

It is an independent judge: nothing of the gateway is imported here, and the gateway imports nothing from here.
Start reading at `server.py` (the object tests use), then `responses.py` (one model call).
"""
