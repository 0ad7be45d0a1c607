"""The one list of vendors, and a folder for each. Vendors know nothing of one another."""

from collections.abc import Mapping

from service.detectors.vendor import Vendor
from service.vendors import (
    aippim,
    asc,
    modulate,
    pex,
)

_IN_ORDER = (
    aippim.VENDOR,
    asc.VENDOR,
    pex.VENDOR,
    modulate.VENDOR,
)

VENDORS: Mapping[str, Vendor] = {vendor.name: vendor for vendor in _IN_ORDER}
"""Every vendor by its name, as in callback paths and settings; the order is the offer's."""
