"""What this room seals at rest."""

from service.kit.security.resealing import Sealed
from service.webhooks.models import Endpoint, EndpointSecret, SigningKey
from service.webhooks.signing import HEADERS_PURPOSE, SECRET_PURPOSE, SIGNING_KEY_PURPOSE

SEALED = (
    Sealed(EndpointSecret, "id", "sealed", SECRET_PURPOSE, lambda row: str(row.id)),
    Sealed(Endpoint, "id", "sealed_headers", HEADERS_PURPOSE, lambda row: str(row.id)),
    Sealed(SigningKey, "kid", "sealed_private", SIGNING_KEY_PURPOSE, lambda row: str(row.kid)),
)
