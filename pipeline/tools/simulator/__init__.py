"""A believable shop: customers with habits, a day's rhythm, three channels, and what can go wrong.

``shop`` writes the script of one visit, ``traffic`` starts visits and puts their events in order,
``disturbance`` delays, repeats and breaks them as networks and producers do. All of it is repeatable:
the same seed, start and settings give the same bytes.
"""
