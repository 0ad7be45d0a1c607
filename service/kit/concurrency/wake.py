"""Waking sleepers: an in-process event per topic, and NOTIFY between processes on PostgreSQL.

A wake is a hint, never the truth: whoever is woken reads the database, and a sweep finds what a lost hint left.
"""

import asyncio
import secrets
import threading
import zlib
from collections import defaultdict
from collections.abc import Iterable

CHANNEL = "relay"
SWEEP_SECONDS = 1.0
LISTENING_SWEEP_SECONDS = 10.0
_PAYLOAD_BYTES = 7900  # PostgreSQL refuses NOTIFY payloads of 8000 bytes


class Wake:
    """Topics and who waits for them. `notify` may be called from any thread; the rest from the event loop."""

    def __init__(self) -> None:
        self.sender = secrets.token_hex(4)
        self.sweep_seconds = SWEEP_SECONDS
        """How long sleepers sleep without a wake: long where every commit is heard of."""
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self) -> None:
        """From now on, sleepers of the running event loop are woken."""
        self._loop = asyncio.get_running_loop()

    def subscribe(self, topic: str) -> asyncio.Event:
        """An event that is set at each wake of `topic`; the owner clears it, and unsubscribes it in the end."""
        event = asyncio.Event()
        with self._lock:
            self._waiting[topic].add(event)
        return event

    def unsubscribe(self, topic: str, event: asyncio.Event) -> None:
        """`event` is no longer set."""
        with self._lock:
            self._waiting[topic].discard(event)
            if not self._waiting[topic]:
                del self._waiting[topic]

    def notify(self, topics: Iterable[str]) -> None:
        """Everybody in this process who waits for one of `topics` wakes up soon."""
        with self._lock:
            events = [event for topic in topics for event in self._waiting.get(topic, ())]
        if events and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_set_all, events)

    def notify_all(self) -> None:
        """Everybody who waits for anything wakes up soon."""
        with self._lock:
            topics = list(self._waiting)
        self.notify(topics)

    def payloads(self, topics: Iterable[str]) -> list[str]:
        """What to NOTIFY so that other processes `receive` `topics`: as few payloads as fit."""
        parts: list[str] = []
        line = self.sender
        for topic in sorted(topics):
            if len(line) + 1 + len(topic) > _PAYLOAD_BYTES:
                parts.append(line)
                line = self.sender
            line += " " + topic
        return [*parts, line]

    def receive(self, payload: str) -> None:
        """A NOTIFY came in; our own are old news."""
        sender, *topics = payload.split(" ")
        if sender != self.sender:
            self.notify(topics)


class Sleeper:
    """One that looks at the database again and again: at each wake, soon after it, and ever more rarely after that.

    All sleepers of one topic look at the same moments, so that they can share a look. `often`: not all that it looks
    for wakes it, so it goes on looking every second at least.
    """

    def __init__(self, wake: Wake, topic: str, *, often: bool = False) -> None:
        self._wake = wake
        self._topic = topic
        self._phase = zlib.crc32(topic.encode()) / 2**32
        self._often = often
        self._pause = SWEEP_SECONDS
        self._event = wake.subscribe(topic)

    def reset(self) -> None:
        """What is committed from now on wakes it."""
        self._event.clear()

    async def sleep(self, at_most: float) -> bool:
        """Wait for a wake or for the next look of all: True. False if `at_most` seconds were over before.

        A wake is a hint, and may be lost.
        """
        rest = self.every - (asyncio.get_running_loop().time() + self._phase * self.every) % self.every
        try:
            async with asyncio.timeout(min(at_most, rest)):
                await self._event.wait()
        except TimeoutError:
            if rest > at_most:
                return False
            self.back_off()
        else:
            self._pause = SWEEP_SECONDS  # what woke us may not be visible yet, behind an older transaction
        return True

    @property
    def every(self) -> float:
        """How many seconds lie between two looks without a wake."""
        return min(SWEEP_SECONDS if self._often else self._pause, self._wake.sweep_seconds)

    def back_off(self) -> None:
        """Note that nothing woke it: the next look is later."""
        self._pause = min(self._pause * 2, LISTENING_SWEEP_SECONDS)

    def end(self) -> None:
        """It sleeps no more."""
        self._wake.unsubscribe(self._topic, self._event)


def _set_all(events: list[asyncio.Event]) -> None:
    for event in events:
        event.set()
