"""Wire protocols ⇄ events. Pure: no Django, no network, no clock, no asyncio.

Read `ir/request.py` and `ir/events.py` for the values, `codec.py` for the interfaces, one file of `protocols/` for a
protocol, `passes/` for rewrites that must be undone on the way back. A codec may branch on a quirk, never on whom it
talks to.
"""
