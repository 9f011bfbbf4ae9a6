"""Windows: tiles of all sources into the signals of rolling windows, and into evidence.

``windows`` merges tiles and says which rows are complete; ``window_ends`` where windows end; ``segment_tiles``
keeps the tiles of one segment (``buckets``: counters by bucket; ``exposure``: time at risk by age);
``signals`` turns counters into numerators, denominators and intervals; ``signal_rows`` and ``age_rows`` make the
rows of many segments at once (``segment_rows``); ``evidence`` and ``evidence_emitter`` make what detection
reads; ``cuts`` makes checkpoints.
"""
