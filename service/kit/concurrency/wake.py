"""Waking sleepers: an in-process event per topic, and NOTIFY between processes on PostgreSQL.

A wake is a hint, never the truth: a woken reader asks the database, and a sweep finds what a lost hint left. The
shutdown of this process wakes all that sleep.
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
    """Topics and the events that wait for them. `notify` may be called in any thread; the rest in the event loop."""

    def __init__(self) -> None:
        self.sender = secrets.token_hex(4)
        self.sweep_seconds = SWEEP_SECONDS
        """The longest sleep without a wake: long where every commit notifies this process."""
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self) -> None:
        """Wake the sleepers of the running event loop from now on."""
        self._loop = asyncio.get_running_loop()

    def subscribe(self, topic: str) -> asyncio.Event:
        """Return an event that is set at each wake of `topic`; the owner clears it, and unsubscribes it in the end."""
        event = asyncio.Event()
        with self._lock:
            self._waiting[topic].add(event)
        return event

    def unsubscribe(self, topic: str, event: asyncio.Event) -> None:
        """Set `event` no longer."""
        with self._lock:
            self._waiting[topic].discard(event)
            if not self._waiting[topic]:
                del self._waiting[topic]

    def notify(self, topics: Iterable[str]) -> None:
        """Wake all in this process that wait for one of `topics`."""
        with self._lock:
            events = [event for topic in topics for event in self._waiting.get(topic, ())]
        if events and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_set_all, events)

    def notify_all(self) -> None:
        """Wake all in this process, whatever they wait for."""
        with self._lock:
            topics = list(self._waiting)
        self.notify(topics)

    def payloads(self, topics: Iterable[str]) -> list[str]:
        """Return what to NOTIFY so that other processes `receive` these topics: as few payloads as fit."""
        parts: list[str] = []
        line = self.sender
        for topic in sorted(topics):
            if len(line) + 1 + len(topic) > _PAYLOAD_BYTES:
                parts.append(line)
                line = self.sender
            line += " " + topic
        return [*parts, line]

    def receive(self, payload: str) -> None:
        """Take a NOTIFY that came in; ignore our own."""
        sender, *topics = payload.split(" ")
        if sender != self.sender:
            self.notify(topics)


class Sleeper:
    """A reader that reads the database again and again: at each wake, soon after it, and ever more rarely after that.

    All sleepers of one topic read at the same moments, so that they can share a read. `often`: some of what it waits
    for does not wake it, so it reads every second at least.
    """

    def __init__(self, wake: Wake, topic: str, *, often: bool = False) -> None:
        self._wake = wake
        self._topic = topic
        self._phase = zlib.crc32(topic.encode()) / 2**32
        self._often = often
        self._pause = SWEEP_SECONDS
        self._event = wake.subscribe(topic)

    def reset(self) -> None:
        """Forget past wakes: only a commit from now on wakes it."""
        self._event.clear()

    async def sleep(self, at_most: float) -> bool:
        """Wait for a wake or for the next common read; return False if `at_most` seconds were over before.

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
        """Return the seconds between two reads without a wake."""
        return min(SWEEP_SECONDS if self._often else self._pause, self._wake.sweep_seconds)

    def back_off(self) -> None:
        """Note that nothing woke it: the next read is later."""
        self._pause = min(self._pause * 2, LISTENING_SWEEP_SECONDS)

    def end(self) -> None:
        """Unsubscribe; call this when it no longer sleeps."""
        self._wake.unsubscribe(self._topic, self._event)


def _set_all(events: list[asyncio.Event]) -> None:
    for event in events:
        event.set()


class Shutdown:
    """Says `begun` from the moment the process begins to shut down. Used from the event loop."""

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self.begun = False

    def begin(self) -> None:
        """Begin the shutdown, and wake all that wait for something, so that they see it."""
        self.begun = True
        self._wake.notify_all()
