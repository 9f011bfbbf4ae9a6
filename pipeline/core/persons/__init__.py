"""Persons: facts of sessions into persons, and what has become of their abandoned journeys (docs/persons.md).

``visitors`` finds the person behind a visitor, ``persons`` holds the facts of each, ``recoveries`` says what
follows from them.
"""
