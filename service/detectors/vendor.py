"""What the list of vendors has a line of: a name, the knobs, and how an adapter is made of them.

Which vendors there are stands in `vendors`. What a knob means is in `docs/settings.md`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from service.detectors.exchange import Exchange
from service.detectors.port import Adapter
from service.kit.environment import Count, FromEnvironment, Seconds


@dataclass(frozen=True, slots=True)
class Twin:
    """The address of a vendor's twin, and the secrets that only it and the test runs of this deployment share."""

    base_url: str
    api_key: str
    webhook_secret: str


class VendorSettings(FromEnvironment):
    """The knobs every vendor has, as `<VENDOR>_…`. Spans in seconds."""

    callback_trust: Literal["confirm", "payload"] = Field("confirm", examples=["confirm"])
    input: Literal["relay", "original"] = Field("relay", examples=["relay"])
    first_poll_seconds: Seconds | None = Field(None, examples=["45"])
    poll_seconds: Seconds = Field(15, examples=["15"])
    poll_max_seconds: Seconds = Field(300, examples=["300"])
    deadline_seconds: Seconds = Field(3600, examples=["3600"])
    resubmit_after_seconds: Seconds = Field(90, examples=["90"])
    timeout_seconds: Seconds = Field(60, examples=["60"])
    concurrency: Count | None = Field(None, examples=["10"])
    per_minute: Count | None = Field(None, examples=["100"])
    daily_quota: Count | None = Field(None, examples=["10000"])

    proofs: ClassVar[tuple[str, ...]] = ()
    """The fields that prove who we are there; the vendor is configured when all have a value."""

    callback_proofs: ClassVar[tuple[str, ...]] = ()
    """The fields that its callbacks are verified with; without a value every callback is rejected."""

    keep_pressure: ClassVar[bool] = False
    """Whether a 429 holds up its own run only, because the vendor grows with the load."""

    @property
    def needed(self) -> list[str]:
        """The names of the settings without which this vendor cannot be asked."""
        return self.named(self.proofs)

    @property
    def unverifying(self) -> list[str]:
        """The names of the settings whose lack makes that every callback is rejected."""
        return self.named(name for name in self.callback_proofs if not getattr(self, name))

    @classmethod
    def named(cls, fields: Iterable[str]) -> list[str]:
        """Return the fields' names as they stand in the environment."""
        prefix = str(cls.model_config.get("env_prefix", ""))
        return [f"{prefix}{name}".upper() for name in fields]

    @property
    def configured(self) -> bool:
        """True if live keys may ask this vendor."""
        return all(getattr(self, name) for name in self.proofs)

    @property
    def secret(self) -> str:
        """What proves who we are there; it is cut out of answers."""
        raise NotImplementedError

    @property
    def callback_secrets(self) -> tuple[str, ...]:
        """What callbacks may be signed with."""
        return ()

    def at_twin(self, twin: Twin) -> Self:
        """Return the same knobs for the vendor's twin, which must never dial an address that a customer chose."""
        return self.model_copy(update={"input": "relay", **self.twin_names(twin)})

    def twin_names(self, twin: Twin) -> dict[str, Any]:
        """Return address and secrets of the twin, under this vendor's own names for them."""
        raise NotImplementedError


class KeyedSettings(VendorSettings):
    """A vendor that knows us by one key and has one base address."""

    proofs: ClassVar[tuple[str, ...]] = ("api_key",)

    api_key: str | None = Field(default=None, repr=False, examples=["the key from the vendor's dashboard"])

    @property
    def secret(self) -> str:
        """The key."""
        return self.api_key or ""

    def twin_names(self, twin: Twin) -> dict[str, Any]:
        """Return its base address and its key."""
        return {"base_url": twin.base_url, "api_key": twin.api_key}


@dataclass(frozen=True, slots=True)
class Vendor:
    """A line of the list. `adapter` makes one from this vendor's settings and a way out."""

    name: str  # in callback paths, settings and results, e.g. "asc"
    settings: type[VendorSettings]
    adapter: Callable[[Any, Exchange], Adapter]
    caveat: str = ""  # what its own documents warn of where it reports AI
    account_callbacks: bool = False  # one address of ours for all runs, to be pasted in the vendor's dashboard
