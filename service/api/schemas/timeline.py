"""A detection's timeline."""

from pydantic import ConfigDict

from service.api.schemas.common import RunId, Shown, Time


class Fact(Shown):
    """Something that happened. Further fields depend on `kind`."""

    model_config = ConfigDict(extra="allow")

    at: Time
    kind: str
    run_id: RunId = ""
    """Present if the fact is about one run."""


class Waits(Shown):
    """The wait of the customer by cause: the sum is the whole wait."""

    vendor_ms: int
    relay_ms: int
    customer_ms: int


class Timeline(Shown):
    """Every fact in order, and the wait split by cause."""

    data: list[Fact]
    waits: Waits
