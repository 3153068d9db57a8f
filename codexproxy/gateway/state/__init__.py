"""What gateway processes share: slots, cooldowns, counters, affinity. Atomic operations only.

`contract.py` is the interface, `memory.py` serves one process; one contract suite tests every implementation.
"""
