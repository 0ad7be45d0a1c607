"""What the operator decides, as far as the rules ask for it."""

from datetime import timedelta
from typing import Protocol

from service.billing.prices import Prices
from service.detectors.catalogue import Catalogue
from service.kit.backoff import Random


class Policy(Protocol):
    """The surroundings of a decision. A stored answer is taken over for the span of `reuse`."""

    @property
    def catalogue(self) -> Catalogue:
        """The configured vendors."""

    @property
    def random(self) -> Random:
        """The one source of chance: jitter of polls."""

    @property
    def base_url(self) -> str:
        """The address under which customers reach us, for links in results."""

    @property
    def media_retention(self) -> timedelta:
        """How long audio is kept after the last detection that needed it."""

    @property
    def prices(self) -> Prices:
        """What submissions cost."""
