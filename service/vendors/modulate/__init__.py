"""Modulate's AI music detection (Velma 2): one upload and one answer, or a stream with windows while audio is sent.

Documents: docs.modulate.ai/get-started/ai-music-detection, the endpoints' OpenAPI and AsyncAPI descriptions, and
the vendor's showcase, which shows the windows' newer shape (August 2026). There are no jobs and no callbacks.

`adapter` talks; `stream` is the WebSocket, and passes on what comes meanwhile. `results` reads an answer, `messages` a
stream's, `schema` their members; `refusals` says why there is none.
"""

from service.detectors.vendor import Vendor
from service.vendors.modulate.adapter import Modulate
from service.vendors.modulate.settings import ModulateSettings

__all__ = ["VENDOR", "Modulate", "ModulateSettings"]


VENDOR = Vendor(
    "modulate",
    ModulateSettings,
    Modulate,
    caveat="Modulate warns: heavily processed productions may be found as AI though they are not, and one window says "
    "less than the whole",
)
