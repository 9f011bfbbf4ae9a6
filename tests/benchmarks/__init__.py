"""``make bench``: the whole job against other stream processors and the floor, by stage, memory, latency."""
