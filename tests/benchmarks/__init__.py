"""``make bench``: the whole job against plain Faust on the same topic, microseconds by stage, memory."""
