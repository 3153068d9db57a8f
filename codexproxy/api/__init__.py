"""The edges: HTTP and WebSocket into gateway values and back.

`wire.py` turns each codec's route table into Ninja operations; `lean.py` runs exactly those operations without
Django's per-request threads; `health.py` answers probes.
"""
