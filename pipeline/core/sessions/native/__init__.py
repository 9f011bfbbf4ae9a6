"""The compiled session engine: sessions packed in C memory (decisions/0015).

``engine`` takes events; ``scan`` reads one from its JSON text, ``ahead`` reads some before they are taken, and
``columns`` has the records of a batch. ``block`` holds the events of one session, ``walks`` leads it through the
funnels, ``late`` puts late events in their places, ``folding`` folds away what can no longer change, and ``bases``
keeps what is left of that. ``sessions`` keeps and finds sessions; ``places`` counts where events happen.
"""
