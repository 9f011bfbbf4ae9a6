"""Every webhook of the file: subscribed under a group of its own, so that no receiver waits for another."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from pipeline.delivery.destinations import DESTINATIONS
from pipeline.delivery.hooks import MODELS, Hook, Message, Wanted
from pipeline.delivery.posting import Delivery, for_vendor, signed
from pipeline.kafka.clients import security_config
from pipeline.settings import KafkaSettings
from pipeline.subscriptions import Subscription, SubscriptionError, subscribe
from sinks.base import SinkError
from sinks.http import Poster

logger = logging.getLogger(__name__)
#: A message may take all its attempts before the next is asked for; the group must not take us for gone.
_LONGEST_DELIVERY_MS: Final = 3_600_000
_PAUSE_S: Final = 5.0
#: Of journeys so many of each partition are looked at before the committed one, to know what a receiver was given.
_LOOK_BACK: Final = 20_000


class Source(Protocol):
    """The part of a subscription that is used."""

    def __iter__(self) -> Iterator[Message]: ...
    def stop(self) -> None: ...
    def abandon(self) -> None: ...
    def close(self) -> None: ...


class Keeper(Protocol):
    """Keeps what could not be delivered; see :class:`~pipeline.delivery.letters.Letters`."""

    async def keep(self, hook: Hook, body: bytes, error: str) -> None: ...


Subscribe = Callable[[Hook], Source]


def delivery(hook: Hook, poster: Poster) -> Delivery:
    """With the hook's secret or key. Raises HooksError."""
    vendor = DESTINATIONS.get(hook.destination)
    if vendor is None:
        return Delivery(hook, signed(hook.secret()), poster, time.time, asyncio.sleep)
    write = for_vendor(vendor, hook.key(), hook.options)
    return Delivery(hook, write, poster, time.time, asyncio.sleep, vendor.per_second)


class Runner:
    """Delivers until it is told to stop."""

    def __init__(
        self, subscribe: Subscribe, deliveries: Sequence[Delivery], letters: Keeper, pause_s: float = _PAUSE_S
    ) -> None:
        """``pause_s``: before a receiver that something went wrong for is served again."""
        self._subscribe = subscribe
        self._deliveries = deliveries
        self._letters = letters
        self._subscriptions: list[Source] = []
        self._unreadable: SubscriptionError | None = None
        self._pause_s = pause_s
        self._is_stopped = False

    def stop(self) -> None:
        """End after what is under way."""
        self._is_stopped = True
        for subscription in self._subscriptions:
            subscription.stop()

    async def run(self) -> None:
        """Deliver. Raises SubscriptionError or KafkaException where Kafka refuses for good.

        A receiver whose messages cannot be read ends by itself; the others go on, and the error comes at the end.
        """
        self._subscriptions = [self._subscribe(one.hook) for one in self._deliveries]
        # Of its own, a thread for each: waiting for messages must not keep others from theirs.
        self._polling = ThreadPoolExecutor(len(self._deliveries), thread_name_prefix="webhook")
        try:
            async with asyncio.TaskGroup() as tasks:
                for one, subscription in zip(self._deliveries, self._subscriptions, strict=True):
                    tasks.create_task(self._serve(one, subscription))
        except ExceptionGroup as group:
            raise group.exceptions[0] from None
        finally:
            self._polling.shutdown(wait=False)
        if self._unreadable is not None:
            raise self._unreadable

    async def _serve(self, one: Delivery, subscription: Source) -> None:
        """Serve one receiver until it is told to stop. Whatever goes wrong is its own affair, and is tried
        again.
        """
        while True:
            error = await self._serve_once(one, subscription)
            if error is None or self._is_stopped:
                return
            if isinstance(error, SubscriptionError):
                logger.error("webhook %s ends: %s", one.hook.name, error)
                self._unreadable = error
                return
            logger.error(
                "webhook %s: %s: %s; going on in %.0f s", one.hook.name, type(error).__name__, error, _PAUSE_S
            )
            self._subscriptions.remove(subscription)
            await asyncio.sleep(self._pause_s)
            subscription = self._subscribe(one.hook)
            self._subscriptions.append(subscription)
            if self._is_stopped:
                subscription.stop()

    async def _serve_once(self, one: Delivery, subscription: Source) -> Exception | None:
        """Deliver until the subscription ends; gives the error that ended it. What is not delivered comes
        again.
        """
        loop = asyncio.get_running_loop()
        messages = iter(subscription)
        try:
            while (message := await self._next(messages, subscription)) is not None:
                await self._hand_over(one, message)
        except Exception as error:
            subscription.abandon()
            return error
        except BaseException:
            subscription.abandon()
            raise
        finally:
            await asyncio.shield(loop.run_in_executor(self._polling, subscription.close))
        return None

    async def _next(self, messages: Iterator[Message], subscription: Source) -> Message | None:
        """The next message. A cancellation waits for the thread: two must not use one consumer."""
        asked = asyncio.get_running_loop().run_in_executor(self._polling, next, messages, None)
        try:
            return await asyncio.shield(asked)
        except asyncio.CancelledError:
            subscription.stop()
            await asyncio.wait([asked])
            raise

    async def _hand_over(self, one: Delivery, message: Message) -> None:
        body = message.model_dump_json().encode()
        try:
            await one.deliver(message.id, body)
        except SinkError as error:
            await self._letters.keep(one.hook, body, str(error))
        else:
            logger.info("webhook %s: delivered %s", one.hook.name, message.id)


def subscribe_to(kafka: KafkaSettings) -> Subscribe:
    """Subscriptions under a group for each webhook."""
    config = security_config(kafka) | {"max.poll.interval.ms": _LONGEST_DELIVERY_MS}

    def of(hook: Hook) -> Subscription[Message]:
        group = f"{kafka.group}-webhook-{hook.name}"
        return subscribe(
            MODELS[hook.messages],
            kafka.bootstrap_servers,
            group,
            where=Wanted(hook),
            config=config,
            look_back=_LOOK_BACK,
        )

    return of
