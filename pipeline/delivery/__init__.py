"""Alerts and journeys posted to others' addresses: signed, tried again, never silently lost."""
