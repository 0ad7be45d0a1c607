"""A detection's timeline."""

from pydantic import ConfigDict

from service.api.schemas.common import RunId, Shown, Time


class Fact(Shown):
    """Something that happened. What else there is to say of it differs by `kind`."""

    model_config = ConfigDict(extra="allow")

    at: Time
    kind: str
    run_id: RunId = ""
    """There where it is about one run."""


class Waits(Shown):
    """On whom the customer waited: together, the whole wait."""

    vendor_ms: int
    relay_ms: int
    customer_ms: int


class Timeline(Shown):
    """Every fact in order, and the wait cut in three."""

    data: list[Fact]
    waits: Waits
