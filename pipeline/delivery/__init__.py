"""Webhooks: alerts and journeys are posted to URLs, signed, retried, and never lost silently."""
