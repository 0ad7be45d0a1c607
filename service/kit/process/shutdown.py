"""The shutdown of this process: an answer that takes long reads here that it must end."""

from service.kit.concurrency.wake import Wake


class Shutdown:
    """Says `begun` from the moment the process begins to shut down. Used from the event loop."""

    def __init__(self, wake: Wake) -> None:
        self._wake = wake
        self.begun = False

    def begin(self) -> None:
        """Begin the shutdown, and wake all that wait for something, so that they see it."""
        self.begun = True
        self._wake.notify_all()
