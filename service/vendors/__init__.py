"""The one list of vendors, and a folder or file for each. Vendors know nothing of one another."""

from collections.abc import Mapping

from service.vendors.aippim import Aippim
from service.vendors.asc import Asc

VENDORS: Mapping[str, type[Aippim] | type[Asc]] = {adapter.vendor: adapter for adapter in (Aippim, Asc)}
"""Vendor name, as in callback paths and settings, to the class of its adapter; the order is the offer's."""
