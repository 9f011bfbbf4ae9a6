"""Plain values that every room shares: no state, no input, no output.

=================  =====================================================================
``source``         a source: one partition of a topic
``event_time``     the watermark's delay; clocks, which callers hand in
``records``        a record of a touchpoint topic; a dead letter
``funnels``        what opens, completes and abandons a journey
``dimensions``     the dimensions of an event and which of their values are told apart
``segments``       dimensions to the canonical texts of segments
``signals``        the registry of signals: name, kind, unit, interval, topic
``tiles``          counters per segment and 10 s bucket of event time
``ages``           names of a tile's counters by age of a journey
``evidence``       counters of a segment in a step of 30 s or a whole hour
``rules``          what a shop has decided, the same for every partition
``privacy``        pseudonyms in place of customer ids
=================  =====================================================================
"""
