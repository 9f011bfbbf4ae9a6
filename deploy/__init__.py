"""Running it: the embedded stack for one machine."""
