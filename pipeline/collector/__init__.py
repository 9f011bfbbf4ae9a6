"""The collector: requests of other systems in, touchpoints out (DESIGN 2.6b, docs/sources/).

One path for all sources, a module a step: ``bodies`` (decode), ``signatures`` (authenticate), a source's own
``take_apart``, ``tables`` (map), ``clocks`` (time), ``identity`` (copies), ``producing``, and the answer.
``intake`` puts the pure steps together; ``server`` is the only module that knows HTTP.
"""
