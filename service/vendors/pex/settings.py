"""The settings of Pex."""

from typing import Any, ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from service.detectors.vendor import Twin, VendorSettings
from service.kit.environment import BaseUrl, Count, Seconds


class PexSettings(VendorSettings):
    """`PEX_…`. No limits are documented; the vendor advises to begin with five to ten at a time.

    `retry_floor_seconds` is the pause of the vendor's samples after every failure that may pass.
    """

    model_config = SettingsConfigDict(env_prefix="PEX_")
    proofs: ClassVar[tuple[str, ...]] = ("client_id", "client_secret")

    keep_pressure: ClassVar[bool] = True  # its backend grows with the load

    client_id: str | None = Field(default=None, repr=False, examples=["the client id from the vendor"])
    client_secret: str | None = Field(default=None, repr=False, examples=["the client secret from the vendor"])
    base_url: BaseUrl = Field("https://api.ae.pex.com", examples=["https://api.ae.pex.com"])
    concurrency: Count | None = Field(10, examples=["10"])
    resubmit_after_seconds: Seconds = Field(30, examples=["30"])
    timeout_seconds: Seconds = Field(120, examples=["120"])
    retry_floor_seconds: Seconds = Field(30, examples=["30"])

    @property
    def secret(self) -> str:
        """The client's secret."""
        return self.client_secret or ""

    def twin_names(self, twin: Twin) -> dict[str, Any]:
        """Return the credentials of a client of the twin's."""
        return {"base_url": twin.base_url, "client_id": "sandbox", "client_secret": twin.api_key}
