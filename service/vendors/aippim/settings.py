"""The settings of AIPPIM."""

from typing import Any, ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from service.detectors.vendor import KeyedSettings, Twin
from service.kit.environment import BaseUrl, Count, Seconds, Words


class AippimSettings(KeyedSettings):
    """`AIPPIM_…`. Requests a minute are those of the paid plans (docs.mippia.com, rate limits).

    `doubt_real_on_ai_cover`: `real` becomes `inconclusive` where a three-class model hears an AI cover.
    """

    model_config = SettingsConfigDict(env_prefix="AIPPIM_")
    callback_proofs: ClassVar[tuple[str, ...]] = ("webhook_secrets",)

    first_poll_seconds: Seconds | None = Field(45, examples=["45"])
    per_minute: Count | None = Field(100, examples=["10"])
    base_url: BaseUrl = Field("https://platform.mippia.com", examples=["https://platform.mippia.com"])
    doubt_real_on_ai_cover: bool = Field(default=True, examples=["false"])
    webhook_secrets: Words = Field((), repr=False, examples=["new-secret,old-secret"])

    @property
    def callback_secrets(self) -> tuple[str, ...]:
        """What the vendor signs with; several while one replaces another."""
        return self.webhook_secrets

    def twin_names(self, twin: Twin) -> dict[str, Any]:
        """Return the twin's names, with the secret that signs its callbacks."""
        return {**super().twin_names(twin), "webhook_secrets": (twin.webhook_secret,)}
