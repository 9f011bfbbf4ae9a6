"""Sessions: the log of one touchpoint partition into journeys, tiles and dead letters.

``partition`` takes batches and settles them; ``session`` is one session, ``event_log`` the events that it keeps
and ``walk`` their way through the funnels; ``open_sessions`` finds sessions, has them time out (``timer_wheel``)
and forgets them; ``refusals`` says why a record is no event; ``contributions`` what a journey adds to tiles;
``cuts`` and ``shards`` make checkpoints; ``native`` is the compiled engine.
"""
