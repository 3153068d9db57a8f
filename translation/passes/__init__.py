"""Reversible rewrites of a request, one object per quirk: an outbound side (request) and an inbound side (events).

`pipeline.prepare` runs them in order for the translate lane and returns the inverses that the stream of answers must
go through. A pass that changes nothing returns no inverse, so that most streams pay nothing. Pure, like all of
`translation`.
"""
