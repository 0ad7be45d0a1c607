"""What this room seals at rest."""

from service.callbacks.addresses import PURPOSE
from service.callbacks.models import CallbackAddress
from service.kit.security.resealing import Sealed

SEALED = (Sealed(CallbackAddress, "id", "sealed_token", PURPOSE, lambda row: str(row.id)),)
