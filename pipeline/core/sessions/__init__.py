"""Sessions: the log of one touchpoint partition into journeys, tiles and dead letters.

``partition`` takes batches and settles them. Its sessions are held by one ``engine``: the ``reference`` in plain
Python, or the compiled one (``native``). ``walk`` is a session's way through the funnels; ``late`` says what must
be written again for late events; ``refusals`` why a record is no event; ``contributions`` what a journey adds to
tiles, which ``tile_book`` keeps; ``codec`` how sessions are stored; ``cuts`` and ``shards`` make checkpoints.
"""
