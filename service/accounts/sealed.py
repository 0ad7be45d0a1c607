"""What this room seals at rest."""

from service.accounts.idempotency import PURPOSE, owner_of
from service.accounts.models import Idempotency
from service.kit.security.resealing import Sealed

SEALED = (Sealed(Idempotency, "id", "answer", PURPOSE, owner_of),)
