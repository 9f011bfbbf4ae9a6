"""The computing core: ``(state, events) -> (state, outputs)``.

Pure: no clock, no environment, no I/O, no logging, no await. Time is event time in milliseconds.
One room per question:

==================  ====================================================================
``sessions``        one partition's log into journeys, tiles and dead letters
``windows``         tiles of all sources into signals of rolling windows, and evidence
``usual``           baselines: what each hour of the week is normally like
``detection``       findings, incidents, their causes and the alert made of them
==================  ====================================================================

All of them share ``statistics`` (the 95 % intervals), ``life_tables`` (nowcasts of ratios) and ``cuts`` (what
of a state has changed since the last checkpoint). A room never imports one that stands below it in the table
except that windows and detection use ``usual``.
"""
