"""The settings of Modulate."""

from typing import Annotated, Final

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from service.detectors.vendor import KeyedSettings
from service.kit.environment import BaseUrl, Count, Seconds

ENGINE: Final = "velma-2"


class ModulateSettings(KeyedSettings):
    """`MODULATE_…`. New accounts may ask for one to five at a time (docs.modulate.ai, rate limits).

    The stream's address is made of `base_url`: `https` becomes `wss`.
    `partial`: AI vocals over music that was heard to have no AI at all are `ai_partial`.
    `doubt_low_music`: `not-ai-music` is `inconclusive` where there was hardly music to judge, that is more than
    `silence_above_pct` % silence, or less than `music_below_pct` % of vocals and instruments together.
    """

    model_config = SettingsConfigDict(env_prefix="MODULATE_")

    base_url: BaseUrl = Field("https://platform.modulate.ai", examples=["https://platform.modulate.ai"])
    concurrency: Count | None = Field(5, examples=["5"])
    resubmit_after_seconds: Seconds = Field(30, examples=["30"])
    timeout_seconds: Seconds = Field(120, examples=["120"])
    partial: bool = Field(default=False, examples=["true"])
    doubt_low_music: bool = Field(default=True, examples=["false"])
    silence_above_pct: Annotated[float, Field(ge=0, le=100)] = Field(80, examples=["80"])
    music_below_pct: Annotated[float, Field(ge=0, le=200)] = Field(5, examples=["5"])
