"""Every knob, read once from the environment, checked, and frozen. Rooms get small policies made of it.

`docs/settings.md` lists them all; a test keeps the two the same. A secret may also be given as `NAME_FILE`.
"""

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from service.kit.database import normalise_url
from service.kit.errors import SettingsError

SECRET_CHARACTERS = 32
_GROUPS = frozenset({"aippim", "asc"})


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _long_enough(keys: tuple[str, ...]) -> tuple[str, ...]:
    if any(len(key) < SECRET_CHARACTERS for key in keys):
        raise ValueError(f"each key needs at least {SECRET_CHARACTERS} characters")
    return keys


def _is_database(url: str) -> str:
    normalise_url(url)
    return url


def _is_store(setting: str) -> str:
    if setting != "database:" and not (setting.startswith("file:") and len(setting) > len("file:")):
        raise ValueError("file: and a folder, or database:")
    return setting


def _is_base(url: str) -> str:
    if not url.startswith(("https://", "http://")) or "?" in url or "#" in url:
        raise ValueError("an address that begins with https:// or http://, without a query")
    return url.rstrip("/")


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Keys = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_long_enough)]
Numbers = Annotated[tuple[float, ...], NoDecode, BeforeValidator(_split)]
Networks = Annotated[
    tuple[IPv4Network | IPv6Network, ...],
    NoDecode,
    BeforeValidator(lambda value: [ip_network(part) for part in _split(value)]),
]
BaseUrl = Annotated[str, AfterValidator(_is_base)]
Seconds = Annotated[float, Field(ge=0, le=10_000_000)]
Days = Annotated[float, Field(ge=0, le=36_500)]


class _Environment(EnvSettingsSource):
    """The environment, less the names of whole groups: `AIPPIM_…` is a setting, `AIPPIM` is somebody else's."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Nothing for a group of settings, whatever the environment has under its name."""
        if field_name in _GROUPS:
            return None, field_name, False
        return super().get_field_value(field, field_name)


class _Files(_Environment):
    """`NAME_FILE` for `NAME`: the file's text, without the line break at its end."""

    def _load_env_vars(self) -> dict[str, str | None]:
        prefix = str(self.config.get("env_prefix", "")).lower()
        named = super()._load_env_vars()
        files = {f"{prefix}{field}": named.get(f"{prefix}{field}_file") for field in self.settings_cls.model_fields}
        return {name: _text_of(name, path) for name, path in files.items() if path}


def _text_of(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name.upper()}_FILE: the file {path!r} cannot be read ({error})") from error


class _FromEnvironment(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - ours knows the groups
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class passes it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then files the environment names."""
        return init_settings, _Environment(settings_cls), _Files(settings_cls)


class VendorSettings(_FromEnvironment):
    """The knobs every vendor has. Spans in seconds."""

    api_key: str | None = Field(default=None, repr=False, examples=["the key from the vendor's dashboard"])
    callback_trust: Literal["confirm", "payload"] = Field("confirm", examples=["confirm"])
    input: Literal["relay", "original"] = Field("relay", examples=["relay"])
    first_poll_seconds: Seconds | None = Field(None, examples=["45"])
    poll_seconds: Seconds = Field(15, examples=["15"])
    poll_max_seconds: Seconds = Field(300, examples=["300"])
    deadline_seconds: Seconds = Field(3600, examples=["3600"])
    resubmit_after_seconds: Seconds = Field(90, examples=["90"])
    timeout_seconds: Seconds = Field(60, examples=["60"])


class AippimSettings(VendorSettings):
    """`AIPPIM_…`."""

    model_config = SettingsConfigDict(env_prefix="AIPPIM_")

    first_poll_seconds: Seconds | None = Field(45, examples=["45"])
    base_url: BaseUrl = Field("https://platform.mippia.com", examples=["https://platform.mippia.com"])
    webhook_secrets: Words = Field((), repr=False, examples=["new-secret,old-secret"])


class AscSettings(VendorSettings):
    """`ASC_…`. What the vendor's document leaves open has a name here."""

    model_config = SettingsConfigDict(env_prefix="ASC_")

    base_url: str = Field("https://api.aisongchecker.pro/v1", examples=["https://api.aisongchecker.pro/v1"])
    job_url: str | None = Field(None, examples=["https://api.aisongchecker.pro/api-v1"])
    submit_action: str = Field("analyze-url", examples=["analyze-url"])
    job_action: str = Field("job", examples=["job"])


class Settings(_FromEnvironment):
    """The process's settings. Build with `load_settings`, which turns what is wrong into sentences."""

    database_url: Annotated[str, AfterValidator(_is_database)] = Field(
        "sqlite:///data/relay.db", repr=False, examples=["postgres://user:password@host:5432/relay?sslmode=require"]
    )
    database_listen_url: Annotated[str, AfterValidator(_is_database)] | None = Field(
        None, repr=False, examples=["postgres://user:password@host:5432/relay"]
    )
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
    media_retention_hours: Annotated[float, Field(ge=0)] = Field(24, examples=["24"])
    raw_retention_days: Days = Field(90, examples=["90"])
    attempt_retention_days: Days = Field(30, examples=["30"])
    retention_days: Days = Field(365, examples=["365"])
    sandbox_latency_seconds: Seconds = Field(2, examples=["2"])
    log_format: Literal["console", "json"] = Field("json", examples=["json"])
    aippim: AippimSettings = Field(default_factory=AippimSettings)
    asc: AscSettings = Field(default_factory=AscSettings)

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
        return [name for name, vendor in self.vendors.items() if vendor.api_key]

    @property
    def vendors(self) -> dict[str, VendorSettings]:
        """Every vendor's settings by its name."""
        return {"aippim": self.aippim, "asc": self.asc}

    @property
    def bind(self) -> tuple[str, int]:
        """Where to listen: all addresses if only `PORT` is set, as Heroku and Render do."""
        everywhere = "0.0.0.0"  # noqa: S104 - a platform's router reaches us from outside
        return self.host or ("127.0.0.1" if self.port is None else everywhere), 8000 if self.port is None else self.port

    @property
    def sandbox_base(self) -> str:
        """Where a test run reaches the twins, and they us."""
        host, port = self.bind
        own = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104
        return self.sandbox_url or self.public_url or own

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is the embedded one."""
        return normalise_url(self.database_url).drivername == "sqlite"


def load_settings(*, secrets_needed: bool = True, **given: Any) -> Settings:
    """The settings of this process. Raises `SettingsError` with a line for each setting that is wrong."""
    lines: list[str] = []
    vendors: dict[str, VendorSettings] = {}
    for name, kind in (("aippim", AippimSettings), ("asc", AscSettings)):
        try:
            vendors[name] = given.pop(name, None) or kind()
        except ValidationError as error:
            lines += _sentences(error, kind)
            vendors[name] = kind.model_construct()  # so that the other settings are judged too
    try:
        settings = Settings(**{**given, **vendors})
    except ValidationError as error:
        lines += _sentences(error, Settings)
    else:
        if secrets_needed and not settings.secret_keys:
            lines.append("SECRET_KEYS: required; for example the output of: openssl rand -hex 32")
        if not lines:
            return settings
    raise SettingsError("\n".join(lines))


def _sentences(error: ValidationError, kind: type[BaseSettings]) -> list[str]:
    prefix = kind.model_config.get("env_prefix", "")
    lines = []
    for problem in error.errors():
        field = str(problem["loc"][0]) if problem["loc"] else ""
        text = problem["msg"].removeprefix("Value error, ")
        examples = kind.model_fields[field].examples if field in kind.model_fields else None
        example = f"; for example {examples[0]}" if examples else ""
        lines.append(f"{prefix}{field.upper()}: {text}{example}" if field else text)
    return lines
