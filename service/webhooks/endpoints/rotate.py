"""Signing secrets of an endpoint: the newest, and for a while the older ones beside it."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlmodel import Session, col, or_, select

from service.kit.errors import CallerError, RelayError
from service.kit.ids import new_id
from service.kit.security.sealing import Sealer
from service.kit.security.signatures import new_secret
from service.webhooks.models import Endpoint, EndpointSecret
from service.webhooks.sending.signing import SECRET_PURPOSE, open_secrets

MOST_AT_ONCE = 5  # each is a signature in a header of every webhook
LONGEST_OVERLAP = timedelta(days=7)
USUAL_OVERLAP = timedelta(days=1)


def add_secret(session: Session, endpoint_id: str, sealer: Sealer, now: datetime) -> str:
    """Add a secret, the endpoint's newest from now on. Return it in clear; it is sealed at rest."""
    secret, secret_id = new_secret(), new_id("whs")
    sealed = sealer.seal(SECRET_PURPOSE, secret_id, secret.encode())
    session.add(EndpointSecret(id=secret_id, endpoint_id=endpoint_id, sealed=sealed, valid_from=now))
    return secret


def rotate_secret(session: Session, endpoint: Endpoint, overlap: timedelta, sealer: Sealer, now: datetime) -> str:
    """Add a secret and return it in clear. Older ones sign too until `overlap` is over, unless they end sooner.

    Without an overlap they all end at once. Raise `CallerError` 409 if a sixth would be valid.
    """
    older = _valid(session, endpoint.id, now)
    if overlap and len(older) >= MOST_AT_ONCE:
        detail = f"{MOST_AT_ONCE} secrets are valid already. Wait until one expires, or rotate with overlap_seconds 0."
        raise CallerError("too_many_secrets", detail, status=409)
    end = now + overlap
    for row in older:
        row.valid_until = end if row.valid_until is None else min(row.valid_until, end)
    return add_secret(session, endpoint.id, sealer, now)


def newest_secret(session: Session, endpoint: Endpoint, sealer: Sealer, now: datetime) -> str:
    """Return the newest valid secret in clear."""
    valid = _valid(session, endpoint.id, now)
    if not valid:
        raise RelayError("the endpoint has no valid secret")
    return open_secrets(sealer, [(valid[0].id, valid[0].sealed)])[0]


def _valid(session: Session, endpoint_id: str, now: datetime) -> Sequence[EndpointSecret]:
    """Return the secrets that sign now, the newest first."""
    rows = session.exec(
        select(EndpointSecret)
        .where(EndpointSecret.endpoint_id == endpoint_id, EndpointSecret.valid_from <= now)
        .where(or_(col(EndpointSecret.valid_until).is_(None), col(EndpointSecret.valid_until) > now))
        .order_by(col(EndpointSecret.valid_from).desc(), col(EndpointSecret.id).desc())
    )
    return rows.all()
