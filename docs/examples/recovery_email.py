"""A mail to those who left a full cart: ``python -m docs.examples.recovery_email``.

A mail waits for an hour. It is dropped if the customer buys elsewhere meanwhile, in another session, on another
device or at the till, or if the cart turns out never to have been left: nobody is reminded of what is already at
home. What waits is kept in memory here; a real service keeps it in its database. ``SMTP_HOST`` is a mail server;
without it the mails are printed.
"""

import os
import smtplib
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage

from pipeline.subscriptions import subscribe
from schemas.facts import CUSTOMER
from schemas.plain import shown
from schemas.recoveries import RecoveryMessage
from schemas.times import parse_rfc3339

WORTH = 20.0
"""In the shop's currency: carts of less are not worth a mail."""
WAIT_MS = 3_600_000
"""Event time from the cart's end to the mail."""


@dataclass
class Recovery:
    """Carts that were left, by person, the newest of each."""

    waiting: dict[str, RecoveryMessage]
    now_ms: int = 0
    """How far event time has come."""

    def take(self, cart: RecoveryMessage) -> list[RecoveryMessage]:
        """Take what has happened; gives the carts to write about now."""
        person = cart.person
        if cart.status == "open":
            if cart.value >= WORTH and person.startswith(CUSTOMER):
                self.waiting[person] = cart
        elif cart.status in ("completed_elsewhere", "recovered") or self._is(cart):
            self.waiting.pop(person, None)
        self.now_ms = max(self.now_ms, parse_rfc3339(cart.recovered_at or cart.ended_at))
        due = [one for one in self.waiting.values() if parse_rfc3339(one.ended_at) + WAIT_MS <= self.now_ms]
        for one in due:
            del self.waiting[one.person]
        return due

    def _is(self, cart: RecoveryMessage) -> bool:
        waiting = self.waiting.get(cart.person)
        return waiting is not None and waiting.journey_id == cart.journey_id


def mail(cart: RecoveryMessage) -> EmailMessage:
    message = EmailMessage()
    # Ids are texts of others: one with a comma, a bracket or a line's end in it is still one address, of nobody.
    message["To"] = Address(username=shown(cart.person.removeprefix(CUSTOMER)), domain="customers.example")
    message["From"] = "shop@example.com"
    message["Subject"] = "You left something behind"
    message.set_content(f"Your cart of {cart.value:,.2f} EUR is kept. Can we help?")
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
    carts = subscribe(RecoveryMessage, servers, group="recovery-email", where=lambda one: one.funnel == "cart")
    with carts:
        for cart in carts:
            for left in recovery.take(cart):
                send(mail(left))


if __name__ == "__main__":
    main()
