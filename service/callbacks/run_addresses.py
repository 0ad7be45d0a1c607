"""Callback addresses of single runs: a signed token that carries mode, vendor and run, and dies."""

from dataclasses import dataclass
from datetime import datetime

from service.kit.security.tokens import BadToken, Tokens

_PURPOSE = "callback"


@dataclass(frozen=True, slots=True)
class RunAddress:
    """What the token in such an address says."""

    mode: str
    vendor: str
    run_id: str


def sign_address(tokens: Tokens, address: RunAddress, expires_at: datetime) -> str:
    """Return the token; it cannot be made up without our keys."""
    return tokens.sign(_PURPOSE, [address.mode, address.vendor, address.run_id], expires_at=expires_at)


def read_address(tokens: Tokens, token: str, now: datetime) -> RunAddress:
    """Return what the token carries. Raise `BadToken` if it is forged, expired, or something else."""
    match tokens.read(_PURPOSE, token, now=now):
        case [str(mode), str(vendor), str(run_id)]:
            return RunAddress(mode, vendor, run_id)
    raise BadToken("signed by us, but no callback address")
