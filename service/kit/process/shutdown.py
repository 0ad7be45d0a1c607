"""Whether this process is about to end: whoever answers slowly looks here, and ends its answer."""

from service.kit.concurrency.wake import Wake


class Shutdown:
    """Says `begun` from the moment the process begins to shut down. Used from the event loop."""

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self.begun = False

    def begin(self) -> None:
        """It has begun, and everybody who waits for something wakes up and sees it."""
        self.begun = True
        self._wake.notify_all()
