"""The fast lane of phase one: sessions whose events come in order, in C memory (decisions/0015).

``scan`` reads one event from its JSON text, ``block`` holds the events of one session, ``places`` counts where
events happen, ``sessions`` keeps and finds sessions, ``columns`` has the records of a batch, and ``lane`` takes
them. What they cannot do they leave to the Python beside them, whose word is final; without them all works, at
several times the cost.
"""
