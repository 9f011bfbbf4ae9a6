"""Customers and their visits. A visit is a generator of (pause in seconds, fields of the next event)."""

import random
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

Step = tuple[float, dict[str, Any]]
Script = Iterator[Step]
Attempt = Generator[Step, None, bool]
"""A part of a script that gives whether it worked."""

REGIONS: Final = ("north", "south", "east", "west")
STORES: Final = tuple(f"store-{number:02d}" for number in range(1, 13))
DEVICES: Final = {"web": ("desktop", "mobile", "tablet"), "app": ("mobile", "tablet")}
CHECKOUT_STEPS: Final = ("address", "delivery", "payment", "review")
FORM_FIELDS: Final = ("name", "email", "order_number", "reason", "photo")

INCIDENTS: Final[dict[str, str]] = {
    "payment-mobile": "paying fails for nearly everybody on a mobile device",
    "slow-till": "tills serve at a quarter of their speed in all stores",
    "search-broken": "searches find nothing, on web and app",
}


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer with habits."""

    customer_id: str
    channel: str
    device: str | None
    region: str
    store: str
    patience: float
    """0 (leaves at the first trouble) to 1."""
    spends: float
    """Typical price of what is bought, in EUR."""
    talks: float
    """Chance of answering a survey."""


def customer(seed: int, number: int) -> Customer:
    """The same customer for the same seed and number."""
    r = random.Random(f"{seed}/customer/{number}")
    channel = r.choices(("web", "app", "pos"), (0.5, 0.28, 0.22))[0]
    device = None
    if channel != "pos":
        weights = (0.42, 0.5, 0.08) if channel == "web" else (0.9, 0.1)
        device = r.choices(DEVICES[channel], weights)[0]
    region = r.choice(REGIONS)
    store = STORES[REGIONS.index(region) * 3 + r.randrange(3)]
    spends = min(900.0, r.lognormvariate(3.4, 0.7))
    return Customer(
        f"c-{number}", channel, device, region, store, r.betavariate(4, 2), spends, r.uniform(0.05, 0.4)
    )


def elsewhere(who: Customer, chance: random.Random) -> Customer:
    """The same customer on another channel."""
    channel = chance.choice([one for one in ("web", "app", "pos") if one != who.channel])
    return replace(who, channel=channel, device=chance.choice(DEVICES[channel]) if channel in DEVICES else None)


def device(seed: int, who: Customer, habits: "Habits") -> str | None:
    """By which a customer's device is known again, on a channel; some share one."""
    if who.channel == "pos":
        return None
    number = int(who.customer_id.removeprefix("c-"))
    r = random.Random(f"{seed}/device/{number // 2}")
    owner = number // 2 * 2 if r.random() < habits.shared_devices else number
    r = random.Random(f"{seed}/cookies/{owner}")
    return f"d-{owner}-{who.channel}" if r.random() < habits.with_cookies else None


@dataclass(frozen=True, slots=True)
class Habits:
    """How customers come back, and what they do besides. Shares, 0 to 1."""

    known: float = 0.6
    """Of visits: it is said who the customer is. Of these a third say so only when they pay."""
    with_cookies: float = 0.85
    """Of customers: their device is known again."""
    shared_devices: float = 0.06
    """Of customers: their device is another customer's as well."""
    returns: float = 0.3
    """Of visits that leave something in the cart or the checkout: the customer comes back for it within days."""
    elsewhere: float = 0.35
    """Of these: on another channel."""
    emptied: float = 0.03
    """Of visits with something in the cart: everything is taken out again, and that was it."""
    cancelled: float = 0.02
    """Of orders: cancelled within two days."""
    reloaded: float = 0.04
    """Of orders: the page that thanks for it is loaded again."""


HABITS: Final = Habits()

Active = Callable[[str], bool]
"""Tells whether an incident is on at the moment."""


class Visit:
    """One visit of one customer, with chances of its own."""

    def __init__(
        self, who: Customer, chance: random.Random, incident: Active, habits: Habits = HABITS, order: str = "o"
    ) -> None:
        """``order``: id of the order that it may lead to."""
        self.who = who
        self.r = chance
        self.incident = incident
        self.lines: list[float] = []
        self.trouble = 0
        self.has_bought = False
        self._habits = habits
        self.order = order

    @property
    def total(self) -> float:
        return round(sum(self.lines), 2)

    @property
    def is_left(self) -> bool:
        """Whether something was left behind."""
        return bool(self.lines) and not self.has_bought

    def script(self, is_return: bool = False) -> Script:
        """``is_return``: for what was left behind at an earlier visit."""
        if self.who.channel == "pos":
            return self._till()
        return self._return() if is_return else self._online()

    def _return(self) -> Script:
        yield 0.0, {"type": "page_viewed"}
        for _ in range(1 + int(self.r.expovariate(1.0))):
            yield self._think(15), self._adds()
        yield self._think(8), {"type": "cart_viewed"}
        yield from self._checkout()

    # --- web and app ------------------------------------------------------------------------------

    def _online(self) -> Script:
        r = self.r
        yield 0.0, {"type": "page_viewed"}
        kind = r.random()
        if kind < 0.06:
            yield from self._form()
        elif kind < 0.11:
            yield from self._support()
        else:
            yield from self._shopping()
        if self.trouble and r.random() < 0.3:
            yield self._think(4), {"type": "rage_clicked"}

    def _shopping(self) -> Generator[Step, None, None]:
        r = self.r
        if r.random() < 0.55 and not (yield from self._search()):
            return
        for _ in range(1 + int(r.expovariate(0.8))):
            yield self._think(20), {"type": "product_viewed"}
            if r.random() < 0.02:
                yield self._think(3), {"type": "dead_clicked"}
            if r.random() < 0.34:
                yield self._think(12), self._adds()
        if self.lines:
            yield from self._think_again()
        if not self.lines or r.random() > 0.72:
            return
        yield self._think(8), {"type": "cart_viewed"}
        if r.random() < 0.06:
            yield self._think(8), {"type": "coupon_denied"}
            if r.random() > self.who.patience:
                return
        if r.random() < 0.8:
            yield from self._checkout()

    def _think_again(self) -> Script:
        """Some take something out of the cart again, and some all."""
        chance = self.r.random()
        if chance < self._habits.emptied:
            while self.lines:
                yield self._think(6), {"type": "product_removed", "value": self.lines.pop()}
        elif chance < self._habits.emptied + 0.12:
            yield self._think(10), {"type": "product_removed", "value": self.lines.pop()}

    def _search(self) -> Attempt:
        """Search until something fits; gives whether it did."""
        for _ in range(4):
            yield self._think(6), {"type": "products_searched"}
            if self.incident("search-broken"):
                self.trouble += 1
                yield self._think(2), {"type": "error_shown", "step": "search"}
                if self.r.random() > self.who.patience * 0.6:
                    return False
            elif self.r.random() < 0.82:
                return True
            elif self.r.random() < 0.3:
                return False
        return False

    def _checkout(self) -> Generator[Step, None, None]:
        r = self.r
        yield self._think(6), {"type": "checkout_started", "value": self.total}
        for step in CHECKOUT_STEPS:
            yield self._think(4), {"type": "checkout_step_viewed", "step": step}
            if r.random() < 0.035:
                return
            if step == "payment":
                yield self._think(25), {"type": "payment_info_entered", "step": step}
                if not (yield from self._pay()):
                    if r.random() < 0.25:
                        yield self._think(10), {"type": "order_cancelled", "step": step}
                    return
            yield self._think(15), {"type": "checkout_step_completed", "step": step}
        yield self._think(5), self._buys("order_completed")
        if r.random() < self._habits.reloaded:
            yield self._think(20), self._buys("order_completed")
        if r.random() < 0.02:
            yield self._think(200), self._buys("order_refunded")
        yield from self._survey()

    def _buys(self, kind: str) -> dict[str, Any]:
        self.has_bought = True
        return {"type": kind, "value": self.total, "order_id": self.order}

    def _pay(self) -> Attempt:
        """Try to pay; gives whether it worked."""
        broken = self.who.device == "mobile" and self.incident("payment-mobile")
        for _ in range(3):
            if self.r.random() > (0.97 if broken else 0.03):
                return True
            self.trouble += 1
            yield self._think(6), {"type": "error_shown", "step": "payment"}
            if self.r.random() > self.who.patience:
                return False
        return False

    def _form(self) -> Script:
        yield self._think(10), {"type": "form_started", "step": FORM_FIELDS[0]}
        for name in FORM_FIELDS[1:]:
            if self.r.random() < 0.07:
                return
            if self.r.random() < 0.08:
                self.trouble += 1
                yield self._think(5), {"type": "error_shown", "step": name}
        yield self._think(60), {"type": "form_submitted", "step": FORM_FIELDS[-1]}

    def _support(self) -> Script:
        yield self._think(15), {"type": "support_contact_started"}
        waited = self.r.expovariate(1 / 150)
        if waited > 60 + 500 * self.who.patience:
            yield 60 + 500 * self.who.patience, {"type": "support_contact_left"}
            return
        yield waited + self._think(120), {"type": "support_contact_resolved"}
        if self.r.random() < self.who.talks:
            score = max(1, min(7, round(self.r.gauss(5.3 - waited / 120, 1.2))))
            yield self._think(20), {"type": "survey_answered", "survey": "ces", "score": score}

    # --- the shop floor ---------------------------------------------------------------------------

    def _till(self) -> Script:
        r = self.r
        slow = 4.0 if self.incident("slow-till") else 1.0
        yield 0.0, {"type": "queue_joined"}
        waits = r.expovariate(1 / 75) * slow
        bears = 60 + 420 * self.who.patience
        if waits > bears:
            yield bears, {"type": "queue_left"}
            return
        yield waits, {"type": "queue_served"}
        yield self._think(2), {"type": "basket_opened"}
        for _ in range(1 + int(r.expovariate(0.5))):
            yield 1 + r.expovariate(1 / 3) * slow, self._adds()
        if r.random() < 0.02:
            yield self._think(10), {"type": "basket_voided"}
            return
        yield self._think(15), self._buys("sale_completed")
        if waits > 180:
            self.trouble += 1
        yield from self._survey()

    # --- both -------------------------------------------------------------------------------------

    def _survey(self) -> Script:
        r = self.r
        if r.random() > self.who.talks:
            return
        mood = 0.88 - 0.2 * self.trouble + r.gauss(0, 0.16)
        if r.random() < 0.6:
            score = max(1, min(5, round(1 + 4 * mood)))
            yield self._think(30), {"type": "survey_answered", "survey": "csat", "score": score}
        else:
            score = max(0, min(10, round(10 * mood)))
            yield self._think(40), {"type": "survey_answered", "survey": "nps", "score": score}

    def _adds(self) -> dict[str, Any]:
        self.lines.append(self._price())
        return {"type": "product_added", "value": self.lines[-1]}

    def _price(self) -> float:
        return round(max(0.5, self.who.spends * self.r.uniform(0.4, 1.6)), 2)

    def _think(self, seconds: float) -> float:
        """A pause about so long; people differ."""
        return self.r.lognormvariate(0, 0.6) * seconds
