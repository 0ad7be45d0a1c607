"""The states of a certificate, as a table. `docs/states.md` is drawn from it."""

from enum import StrEnum

from service.kit.machine import Machine


class CertificateState(StrEnum):
    """Where a certificate stands. It is born asking or announced, and dropped where nothing comes of it."""

    ASKING = "asking"  # a request for it is under way until `due_at`
    ANNOUNCED = "announced"  # a callback spoke of it; the vendor is to be asked whether it holds
    READY = "ready"


class CertificateInput(StrEnum):
    """What can happen to a certificate."""

    ISSUED = "issued"  # the vendor was asked for one, and named this one
    HOLDS = "holds"  # the vendor was asked about it, and says that it holds
    PUT_OFF = "put_off"  # the vendor could not be asked, or did not say


CERTIFICATE: Machine[CertificateState, CertificateInput] = Machine(
    "a certificate",
    {
        CertificateState.ASKING: {CertificateInput.ISSUED: CertificateState.READY},
        CertificateState.ANNOUNCED: {
            CertificateInput.ISSUED: CertificateState.READY,  # a callback was quicker than the answer
            CertificateInput.HOLDS: CertificateState.READY,
            CertificateInput.PUT_OFF: CertificateState.ANNOUNCED,
        },
    },
)
