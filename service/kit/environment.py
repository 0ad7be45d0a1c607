"""Settings from the environment: reading, types of values, and the errors of wrong ones.

The settings themselves are declared elsewhere.
"""

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from service.kit.errors import SettingsError

SECRET_CHARACTERS = 32


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _long_enough(keys: tuple[str, ...]) -> tuple[str, ...]:
    if any(len(key) < SECRET_CHARACTERS for key in keys):
        raise ValueError(f"each key needs at least {SECRET_CHARACTERS} characters")
    return keys


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
Bytes = Annotated[int, Field(ge=1, le=10**15)]
Count = Annotated[int, Field(ge=1, le=100_000_000)]


class _Environment(EnvSettingsSource):
    """The environment, less the names of whole groups: `ASC_…` is a setting, `ASC` belongs to another program."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return no value for a group of settings, whatever the environment has under its name."""
        if field_name in getattr(self.settings_cls, "groups", ()):
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


class FromEnvironment(BaseSettings):
    """Settings that come as arguments, else from the environment, else from files that it names. Frozen."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    groups: ClassVar[frozenset[str]] = frozenset()
    """Fields that are settings of their own kind, and not read from a variable of their name."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - ours knows the groups
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class passes it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources: arguments first, then the environment, then files the environment names."""
        return init_settings, _Environment(settings_cls), _Files(settings_cls)


def sentences(error: ValidationError, kind: type[BaseSettings]) -> list[str]:
    """Return a line for each setting that is wrong: its name, what is wrong, an example."""
    prefix = kind.model_config.get("env_prefix", "")
    lines = []
    for problem in error.errors():
        field = str(problem["loc"][0]) if problem["loc"] else ""
        text = problem["msg"].removeprefix("Value error, ")
        examples = kind.model_fields[field].examples if field in kind.model_fields else None
        example = f"; for example {examples[0]}" if examples else ""
        lines.append(f"{prefix}{field.upper()}: {text}{example}" if field else text)
    return lines
