"""Every knob, read once from the environment, checked, and frozen. Rooms get small policies made of it.

`docs/settings.md` lists them all; a test keeps the two the same. A secret may also be given as `NAME_FILE`. The
vendors' own are in their folders.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from service.detectors.vendor import VendorSettings
from service.kit.db.database import CONNECTIONS, normalise_url
from service.kit.db.patience import Patience
from service.kit.environment import BaseUrl, Bytes, Days, FromEnvironment, Keys, Networks, Numbers, Seconds, sentences
from service.kit.errors import SettingsError
from service.vendors import VENDORS

_WEB_CONNECTIONS, _WORKER_CONNECTIONS = 4, 6


def _is_database(url: str) -> str:
    found = normalise_url(url)
    if found.drivername == "sqlite" and found.database in (None, "", ":memory:"):
        raise ValueError("a database in memory is gone at the end and cannot be migrated")
    return url


def _is_store(setting: str) -> str:
    if setting != "database:" and not (setting.startswith("file:") and len(setting) > len("file:")):
        raise ValueError("file: and a folder, or database:")
    return setting


def _vendors() -> dict[str, VendorSettings]:
    return {name: vendor.settings() for name, vendor in VENDORS.items()}


class Settings(FromEnvironment):
    """The process's settings. Build with `load_settings`, which turns what is wrong into sentences.

    `vendors` has every vendor's own by its name, configured or not.
    """

    groups: ClassVar[frozenset[str]] = frozenset({"vendors"})

    database_url: Annotated[str, AfterValidator(_is_database)] = Field(
        "sqlite:///data/relay.db", repr=False, examples=["postgres://user:password@host:5432/relay?sslmode=require"]
    )
    database_listen_url: Annotated[str, AfterValidator(_is_database)] | None = Field(
        None, repr=False, examples=["postgres://user:password@host:5432/relay"]
    )
    database_connections: Annotated[int, Field(ge=1, le=100)] | None = Field(None, examples=["4"])
    database_connect_seconds: Seconds = Field(5, examples=["5"])
    database_line_seconds: Seconds = Field(20, examples=["20"])
    database_statement_seconds: Seconds = Field(30, examples=["30"])
    database_lock_seconds: Seconds = Field(10, examples=["10"])
    database_idle_seconds: Seconds = Field(60, examples=["60"])
    database_watchdog_seconds: Seconds = Field(300, examples=["300"])
    host: str | None = Field(None, examples=["0.0.0.0"])  # noqa: S104 - an example
    port: Annotated[int, Field(ge=0, le=65535)] | None = Field(None, examples=["8000"])
    web_concurrency: Annotated[int, Field(ge=1, le=64)] = Field(1, examples=["2"])
    public_url: BaseUrl | None = Field(None, examples=["https://relay.example.com"])
    sandbox_url: BaseUrl | None = Field(None, examples=["https://relay.example.com"])
    secret_keys: Keys = Field((), repr=False, examples=["output of: openssl rand -hex 32"])
    api_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] = Field(600, examples=["600"])
    metrics_token: str | None = Field(None, repr=False, min_length=16, examples=["output of: openssl rand -hex 32"])
    trusted_proxy_hops: Annotated[int, Field(ge=0, le=16)] = Field(0, examples=["1"])
    webhook_retry_seconds: Numbers = Field(
        (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400), min_length=1, examples=["0,5,300,1800"]
    )
    webhook_timeout_seconds: Annotated[float, Field(gt=0, le=60)] = Field(15, examples=["15"])
    webhook_throttled_floor_seconds: Seconds = Field(60, examples=["60"])
    outbound_allow: Networks = Field((), examples=["10.0.0.0/8"])
    outbound_https_only: bool = Field(default=True, examples=["true"])
    media_store: Annotated[str, AfterValidator(_is_store)] | None = Field(None, examples=["file:data/media"])
    media_daily_bytes: Bytes | None = Field(None, examples=["20000000000"])
    media_kept_bytes: Bytes | None = Field(None, examples=["5000000000"])
    media_retention_hours: Annotated[float, Field(ge=0)] = Field(24, examples=["24"])
    raw_retention_days: Days = Field(90, examples=["90"])
    attempt_retention_days: Days = Field(30, examples=["30"])
    retention_days: Days = Field(365, examples=["365"])
    sandbox_latency_seconds: Seconds = Field(2, examples=["2"])
    log_format: Literal["console", "json"] = Field("json", examples=["json"])
    reuse_days: Days = Field(30, examples=["30"])
    prices_file: Path | None = Field(None, examples=["/etc/relay/prices.toml"])
    unknown_price_passes: bool = Field(default=True, examples=["false"])
    vendors: Mapping[str, VendorSettings] = Field(default_factory=_vendors)

    @model_validator(mode="before")
    @classmethod
    def _platforms_address(cls, values: Any) -> Any:
        """Take the address that Render or Heroku gave this service where the operator names none."""
        if isinstance(values, dict) and values.get("public_url") is None and (base := platform_address(os.environ)):
            return values | {"public_url": base}
        return values

    @model_validator(mode="after")
    def _vendors_reach_us(self) -> "Settings":
        if self.live_vendors and self.public_url is None:
            raise ValueError(
                f"PUBLIC_URL: required, because {', '.join(self.live_vendors)} is configured and has to reach us;"
                " for example https://relay.example.com"
            )
        return self

    @property
    def live_vendors(self) -> list[str]:
        """The vendors a live key asks."""
        return [name for name, vendor in self.vendors.items() if vendor.configured]

    @property
    def bind(self) -> tuple[str, int]:
        """The host and port to listen on: all addresses if only `PORT` is set, as Heroku and Render do."""
        everywhere = "0.0.0.0"  # noqa: S104 - a platform's router reaches us from outside
        return self.host or ("127.0.0.1" if self.port is None else everywhere), 8000 if self.port is None else self.port

    @property
    def sandbox_base(self) -> str:
        """The base address at which a test run reaches the twins, and they us."""
        host, port = self.bind
        own = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104
        return self.sandbox_url or self.public_url or own

    def connections(self, *, works: bool) -> int:
        """Return how many connections a process opens at once; a worker needs more than a web process."""
        if self.database_connections is not None or self.is_sqlite:
            return self.database_connections or CONNECTIONS
        return _WORKER_CONNECTIONS if works else _WEB_CONNECTIONS

    def for_process(self, *, works: bool) -> "Settings":
        """Return these settings for a process that runs a worker, or that only serves."""
        return self.model_copy(update={"database_connections": self.connections(works=works)})

    @property
    def patience(self) -> Patience:
        """The time limits for calls of the database."""
        return Patience(
            connect=self.database_connect_seconds,
            line=self.database_line_seconds,
            statement=self.database_statement_seconds,
            lock=self.database_lock_seconds,
            idle=self.database_idle_seconds,
        )

    @property
    def store(self) -> str:
        """The store of audio: as it was set, or as the database suggests."""
        return self.media_store or ("file:data/media" if self.is_sqlite else "database:")

    @property
    def audio_limits(self) -> tuple[int, int]:
        """The bytes of audio that an account may upload in a day, and keep. A database is small and expensive."""
        a_day, kept = (2_000_000_000, 500_000_000) if self.store == "database:" else (20_000_000_000, 5_000_000_000)
        return self.media_daily_bytes or a_day, self.media_kept_bytes or kept

    @property
    def is_sqlite(self) -> bool:
        """True if the database is the embedded one."""
        return normalise_url(self.database_url).drivername == "sqlite"


def platform_address(environment: Mapping[str, str]) -> str | None:
    """Return the address at which the platform lets others reach this service, if it tells.

    Heroku says it where the app has the feature runtime-dyno-metadata; Render says it to web services.
    """
    if base := environment.get("RENDER_EXTERNAL_URL"):
        return base
    domain = environment.get("HEROKU_APP_DEFAULT_DOMAIN_NAME")
    return f"https://{domain}" if domain else None


def load_settings(
    *, secrets_needed: bool = True, vendors: Mapping[str, VendorSettings] | None = None, **given: Any
) -> Settings:
    """Load the settings of this process. Raise `SettingsError` with a line for each setting that is wrong.

    `vendors` are given instead of those of the environment, by name.
    """
    lines: list[str] = []
    chosen = dict(vendors or {})
    for name, vendor in VENDORS.items():
        if name not in chosen:
            try:
                chosen[name] = vendor.settings()
            except ValidationError as error:
                lines += sentences(error, vendor.settings)
                chosen[name] = vendor.settings.model_construct()  # so that the other settings are judged too
    try:
        settings = Settings(**given, vendors=chosen)
    except ValidationError as error:
        lines += sentences(error, Settings)
    else:
        if secrets_needed and not settings.secret_keys:
            lines.append("SECRET_KEYS: required; for example the output of: openssl rand -hex 32")
        if not lines:
            return settings
    raise SettingsError("\n".join(lines))
