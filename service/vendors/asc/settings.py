"""The settings of ASC. What the vendor's document leaves open has a name here."""

from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from service.detectors.vendor import KeyedSettings, Twin
from service.kit.environment import Count


class AscSettings(KeyedSettings):
    """`ASC_…`. The limits are those of the Pro plan (aisongchecker.pro/api-docs).

    The addresses may carry a query of their own. `job_url` defaults to `base_url`; the document prints another
    root for it. `analysis_id_from`: what a certificate is asked of where no answer named an `analysis_id`.
    """

    model_config = SettingsConfigDict(env_prefix="ASC_")

    base_url: str = Field("https://api.aisongchecker.pro/v1", examples=["https://api.aisongchecker.pro/v1"])
    job_url: str | None = Field(None, examples=["https://api.aisongchecker.pro/api-v1"])
    submit_action: str = Field("analyze-url", examples=["analyze-url"])
    job_action: str = Field("job", examples=["job"])
    sync_action: str = Field("analyze", examples=["analyze"])
    sync_input: Literal["url", "base64"] = Field("url", examples=["base64"])
    include_features: bool = Field(default=False, examples=["true"])
    status_action: str = Field("status", examples=["status"])
    usage_action: str = Field("usage", examples=["usage"])
    quota_action: str = Field("quota", examples=["quota"])
    certificate_action: str = Field("certificate", examples=["certificate"])
    verify_action: str = Field("verify", examples=["verify"])
    webhook_action: str = Field("webhook", examples=["webhook"])
    analysis_id_from: Literal["none", "job_id"] = Field("none", examples=["job_id"])
    usage_detailed: bool = Field(default=False, examples=["true"])
    max_megabytes: Annotated[int, Field(ge=1, le=100_000)] = Field(50, examples=["500"])
    concurrency: Count | None = Field(10, examples=["10"])
    daily_quota: Count | None = Field(10_000, examples=["10000"])

    def twin_names(self, twin: Twin) -> dict[str, Any]:
        """Return both roots that the twin has, and the actions by the names that stand here."""
        names: dict[str, Any] = {"base_url": f"{twin.base_url}/v1", "job_url": f"{twin.base_url}/api-v1"}
        actions = {name: each.default for name, each in type(self).model_fields.items() if name.endswith("_action")}
        return {**super().twin_names(twin), **names, **actions}
