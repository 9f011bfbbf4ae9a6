"""A mail to those who left a full cart: ``python -m docs.examples.recovery_email``.

A mail waits for a while. It is dropped if the journey is taken back or the customer completes another one, so a
customer who bought after all gets no mail. What waits is kept in memory here; a real service keeps it in its
database. ``SMTP_HOST`` is a mail server; without it the mails are printed.
"""

import os
import smtplib
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage

from pipeline.subscriptions import subscribe
from schemas.journeys import JourneyMessage
from schemas.plain import shown
from schemas.times import parse_rfc3339

WORTH = 20.0
"""In the shop's currency: carts of less are not worth a mail."""
WAIT_MS = 300_000
"""Event time from the cart's end to the mail."""


@dataclass
class Recovery:
    """Carts that were left, by customer, the newest of each."""

    waiting: dict[str, JourneyMessage]

    def take(self, cart: JourneyMessage) -> list[JourneyMessage]:
        """Take what has happened; gives the carts to write about now."""
        customer = cart.customer_id or ""
        if cart.outcome == "abandoned" and cart.value >= WORTH and customer:
            self.waiting[customer] = cart
        elif cart.outcome == "completed" or self._is(customer, cart):
            self.waiting.pop(customer, None)
        now_ms = parse_rfc3339(cart.ended_at)
        due = [one for one in self.waiting.values() if parse_rfc3339(one.ended_at) + WAIT_MS <= now_ms]
        for one in due:
            del self.waiting[one.customer_id or ""]
        return due

    def _is(self, customer: str, cart: JourneyMessage) -> bool:
        waiting = self.waiting.get(customer)
        return waiting is not None and waiting.journey_id == cart.journey_id


def mail(cart: JourneyMessage) -> EmailMessage:
    message = EmailMessage()
    # Ids are texts of others: one with a comma, a bracket or a line's end in it is still one address, of nobody.
    message["To"] = Address(username=shown(cart.customer_id or ""), domain="customers.example")
    message["From"] = "shop@example.com"
    message["Subject"] = "You left something behind"
    at_step = f" at {shown(cart.last_step, 100)}" if cart.last_step else ""
    message.set_content(f"Your cart of {cart.value:,.2f} EUR is kept{at_step}. Can we help?")
    return message


def send(message: EmailMessage) -> None:
    host = os.environ.get("SMTP_HOST")
    if host is None:
        print(f"to {message['To']}: {message.get_content().strip()}", flush=True)
        return
    with smtplib.SMTP(host, timeout=10) as server:
        server.send_message(message)


def main() -> None:
    servers = os.environ.get("CX_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    recovery = Recovery({})
    carts = subscribe(JourneyMessage, servers, group="recovery-email", where=lambda one: one.funnel == "cart")
    with carts:
        for cart in carts:
            for left in recovery.take(cart):
                send(mail(left))


if __name__ == "__main__":
    main()
