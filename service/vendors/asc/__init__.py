"""ASC, the AI Song Checker: a job made from a link, then an unsigned callback or a poll; or an analysis at once.

Document: https://aisongchecker.pro/api-docs (v1.0, March 2026). It leaves the poll's body, the job's states and
most action names open, so the names are settings and bodies are read leniently; what is not known never ends a
run and never becomes a verdict. A guide on the same site describes another API (paths, bearer keys); it is not
followed.

`adapter` talks; `results` reads what an analysis says; `extensions` is what ASC offers beside, and `client` is how both
send requests.
"""

from service.detectors.vendor import Vendor
from service.vendors.asc.adapter import Asc
from service.vendors.asc.settings import AscSettings

__all__ = ["VENDOR", "Asc", "AscSettings"]


VENDOR = Vendor("asc", AscSettings, Asc, account_callbacks=True)
