"""AIPPIM, now MIPPIA: upload, submit, then a signed callback or a poll.

Documents: https://docs.mippia.com/ (API reference: AI detection, upload music; guides: webhooks; quick start), as
read on 2026-08-12, and the same reference page of 2026-02-09, when the host was platform.aippim.shop.

`adapter` talks and checks what the vendor pushes; `envelope` reads what surrounds a result, `results` the result,
`ensemble` its models, `disagreement` what these say against it.
"""

from service.detectors.vendor import Vendor
from service.vendors.aippim.adapter import Aippim
from service.vendors.aippim.settings import AippimSettings

__all__ = ["VENDOR", "Aippim", "AippimSettings"]


VENDOR = Vendor("aippim", AippimSettings, Aippim, account_callbacks=True)
