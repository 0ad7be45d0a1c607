"""Pex, the AI Song Detector: one request with the audio, or with a link to it, and its answer is the result.

Document: https://docs.pex.com/ai-song-detector/api-documentation, and the vendor's own client skill
(github.com/Pexeso/ai-agents, ai-song-detector). They contradict each other on the shortest audio (10 or 30 s) and on
which statuses are worth another try; nothing is refused here for its duration, and the two lists are joined.
There are no jobs to poll and no callbacks.

`adapter` talks; `token` gets and keeps the access token; `results` says what an answer means.
"""

from service.detectors.vendor import Vendor
from service.vendors.pex.adapter import Pex
from service.vendors.pex.settings import PexSettings

__all__ = ["VENDOR", "Pex", "PexSettings"]


VENDOR = Vendor("pex", PexSettings, Pex)
