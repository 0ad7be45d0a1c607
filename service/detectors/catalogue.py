"""Which detectors this process has, per mode, and the operator's policy for each vendor."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from service.detectors.latency import Latency
from service.detectors.port import Adapter
from service.kit.backoff import Random, growing, jittered

_ESTIMATE_MARGIN = 5.0
_POLL_FACTOR = 1.5


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one vendor for all workers together, in one mode. `None` stands for no limit.

    `per_minute` and `daily_quota` count every request: uploads, submissions, confirmations, polls, quota look-ups.
    """

    concurrency: int | None = None  # runs at the vendor at once, its own waiting jobs included
    per_minute: int | None = None
    daily_quota: int | None = None  # from midnight to midnight UTC
    # A 429 holds up its own run only: the vendor grows with the load and wants it kept up (Pex).
    keep_pressure: bool = False
    # Whether one run's refusal tells of all. A twin acts by the name of each run: its words tell of that run alone.
    answers_tell_of_all: bool = True

    @property
    def bounded(self) -> bool:
        """True if there is a limit at all."""
        return any(limit is not None for limit in (self.concurrency, self.per_minute, self.daily_quota))


@dataclass(frozen=True, slots=True)
class VendorPolicy:
    """The operator's policy for one vendor. All spans in seconds."""

    first_poll: float | None  # None: the vendor's own estimate and a little more
    poll: float
    poll_max: float
    deadline: float
    resubmit_after: float
    timeout: float
    trust: Literal["confirm", "payload"] = "confirm"
    input: Literal["relay", "original"] = "relay"
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    confirm_spacing: float = 10.0
    limits: Limits = Limits()
    first_poll_is_set: bool = False  # by the operator; a default gives way to what is measured

    def first_wait(self, estimate_seconds: int | None, measured: Latency | None = None) -> float:
        """Return the seconds from acceptance to the first poll.

        What the operator set; else when 95 of 100 callbacks have come, and a little more, once enough are measured;
        else our default, or the vendor's own estimate and a little more.
        """
        if self.first_poll is not None and self.first_poll_is_set:
            return self.first_poll
        if measured is not None and measured.is_enough and measured.p95_ms is not None:
            usual = max(measured.p95_ms / 1000 + _ESTIMATE_MARGIN, self.poll)
            return min(usual, max(self.deadline / 2, self.poll))
        if self.first_poll is not None:
            return self.first_poll
        return (self.poll if estimate_seconds is None else estimate_seconds) + _ESTIMATE_MARGIN

    def next_wait(self, polls: int, random: Random) -> float:
        """Return the seconds from poll number `polls` to the next: growing, jittered, up to `poll_max`."""
        wait = growing(polls - 1, first=self.poll, factor=_POLL_FACTOR, longest=self.poll_max)
        return min(self.poll_max, jittered(wait, random))

    @property
    def lease(self) -> float:
        """Longer than any request: a lease that ends during one would send it twice."""
        return self.timeout * 1.5 + 3


@dataclass(frozen=True, slots=True)
class ConfiguredVendor:
    """A vendor as configured for one mode."""

    adapter: Adapter
    policy: VendorPolicy


class Catalogue:
    """The configured vendors. Looked up by mode, and by detector or vendor name."""

    def __init__(
        self, vendors: Mapping[tuple[str, str], ConfiguredVendor], proofs: Iterable[Sequence[str]] = ()
    ) -> None:
        self._vendors = dict(vendors)
        self.proofs = [" and ".join(names) for names in proofs]
        """The settings that configure a vendor, of each vendor there is: `PEX_CLIENT_ID and PEX_CLIENT_SECRET`."""

    def configured(self, mode: str, vendor: str) -> ConfiguredVendor | None:
        """Return the vendor as configured in this mode, if it is configured there."""
        return self._vendors.get((mode, vendor))

    def vendor_of(self, mode: str, detector: str) -> str | None:
        """Return the vendor that offers `detector` in this mode."""
        for configured in self.configured_in(mode):
            if detector in configured.adapter.detectors:
                return configured.adapter.vendor
        return None

    def configured_in(self, mode: str) -> list[ConfiguredVendor]:
        """Return every vendor configured in this mode, in the order of the one list."""
        return [configured for (vendor_mode, _), configured in self._vendors.items() if vendor_mode == mode]

    def names(self, mode: str) -> list[str]:
        """Return every detector that can be asked in this mode."""
        return [name for configured in self.configured_in(mode) for name in configured.adapter.detectors]

    def defaults(self, mode: str) -> list[str]:
        """Return one detector for each vendor: what is asked when the request names none."""
        return [configured.adapter.detectors[0] for configured in self.configured_in(mode)]

    def known(self, mode: str) -> list[tuple[ConfiguredVendor, bool]]:
        """Return every vendor there is, once, in the order of the one list, and if it is configured in this mode.

        One that is not is shown as it is configured in another.
        """
        every = {vendor: configured for (_, vendor), configured in self._vendors.items()}
        return [
            (self.configured(mode, vendor) or configured, (mode, vendor) in self._vendors)
            for vendor, configured in every.items()
        ]

    def vendors(self) -> set[str]:
        """Return every vendor configured in any mode."""
        return {vendor for _, vendor in self._vendors}

    def longest_lease(self) -> float:
        """Return the seconds for which a run is claimed before its vendor is known to the claim."""
        return max((configured.policy.lease for configured in self._vendors.values()), default=60.0)

    def longest_deadline(self) -> float:
        """Return the seconds after which no run of any vendor is still waited for."""
        return max((configured.policy.deadline for configured in self._vendors.values()), default=0.0)


def tier_of(detector: str) -> str | None:
    """Return the part after the slash: `aippim/standard` has the tier `standard`, `asc` has none."""
    return detector.partition("/")[2] or None


def sandbox_name(run_id: str, source_name: str, extension: str, words: Iterable[str]) -> str:
    """Return the audio's name for a twin: the run's id, the sandbox words of the source's name, the type."""
    known = set(words)
    parts = [part for part in source_name.split(".") if part in known]
    return ".".join([run_id, *parts, extension])
