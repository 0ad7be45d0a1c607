"""What of ASC's refusals is about the audio, by its own words, wherever they stand."""

from collections.abc import Mapping
from typing import Final

from service.detectors.enums import ReasonCode

CONTENT: Final[Mapping[str, ReasonCode]] = {
    "invalid audio format": ReasonCode.UNSUPPORTED_FORMAT,  # the documented slug, and its message
    "audio format not supported": ReasonCode.UNSUPPORTED_FORMAT,
    "file too large": ReasonCode.FILE_TOO_LARGE,  # not documented but for its status, 413
}
"""Phrases as `answers.code_by_words` reads them."""
