"""Modulate's AI music detection (Velma 2): one upload and one answer, or a stream with windows while audio is sent.

Documents: docs.modulate.ai/get-started/ai-music-detection, the endpoints' OpenAPI and AsyncAPI descriptions, and
the vendor's showcase, which shows the windows' newer shape (August 2026). There are no jobs and no callbacks.

`adapter` talks and hands on; `stream` holds the WebSocket, `telling` passes on what comes meanwhile. `results` and
`windows` read an answer, `messages` a stream's; `refusals` and `closes` say why there is none;
`hide` takes our key out of what is kept.
"""

from service.detectors.exchange import Exchange
from service.detectors.vendor import Vendor
from service.vendors.modulate.adapter import Modulate
from service.vendors.modulate.config import ModulateConfig
from service.vendors.modulate.settings import ModulateSettings

__all__ = ["VENDOR", "Modulate", "ModulateConfig", "ModulateSettings"]


def _adapter(settings: ModulateSettings, exchange: Exchange) -> Modulate:
    config = ModulateConfig(
        base_url=settings.base_url,
        api_key=settings.secret,
        partial=settings.partial,
        doubt_low_music=settings.doubt_low_music,
        silence_above_pct=settings.silence_above_pct,
        music_below_pct=settings.music_below_pct,
    )
    return Modulate(config, exchange, timeout_seconds=settings.timeout_seconds)


VENDOR = Vendor(
    "modulate",
    ModulateSettings,
    _adapter,
    caveat="Modulate warns: heavily processed productions may be found as AI though they are not, and one window says "
    "less than the whole",
)
