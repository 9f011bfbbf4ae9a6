"""The computing core: ``(state, events) -> (state, outputs)``.

Pure: no clock, no environment, no I/O, no logging, no await. Time is event time in milliseconds.

==================  ====================================================================
``funnels``         the seven funnels and the walk of a session's events through them
``session``         one session: its retained events, its open and its ended journeys
``partition``       phase one: one partition's log into journeys, tiles and dead letters
``records``         what goes into phase one and comes out of it
``segments``        dimensions of an event to the canonical texts of its segments
``tiles``           counters per segment and 10 s bucket
``windows``         phase two: tiles of all partitions merged into rolling windows
``signal_rows``     which rows are to be written of many segments at once, and the rows
``age_rows``        the same of nowcasts and completion ratios
``grouped``         times and rows of several segments in one column
``signals``         which counters make which signal
``statistics``      the 95 % intervals
==================  ====================================================================
"""
