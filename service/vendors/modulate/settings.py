"""The knobs of Modulate."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from service.detectors.vendor import KeyedSettings
from service.kit.environment import BaseUrl, Count, Seconds


class ModulateSettings(KeyedSettings):
    """`MODULATE_…`. New accounts may ask for one to five at a time (docs.modulate.ai, rate limits)."""

    model_config = SettingsConfigDict(env_prefix="MODULATE_")

    base_url: BaseUrl = Field("https://platform.modulate.ai", examples=["https://platform.modulate.ai"])
    concurrency: Count | None = Field(5, examples=["5"])
    resubmit_after_seconds: Seconds = Field(30, examples=["30"])
    timeout_seconds: Seconds = Field(120, examples=["120"])
    partial: bool = Field(default=False, examples=["true"])
    doubt_low_music: bool = Field(default=True, examples=["false"])
    silence_above_pct: Annotated[float, Field(ge=0, le=100)] = Field(80, examples=["80"])
    music_below_pct: Annotated[float, Field(ge=0, le=200)] = Field(5, examples=["5"])
