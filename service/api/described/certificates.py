"""What is said of `/v1/detections/{id}/certificate`."""

from service.api.certificates import CertificateIn
from service.api.describe import Answer, Body, Described, Operation, Tag
from service.api.schemas.certificates import Certificate, CheckedCertificate

OPERATIONS: Described = {
    ("POST", "/v1/detections/{detection_id}/certificate"): Operation(
        id="createCertificate",
        tag=Tag.DETECTIONS,
        summary="Have an analysis certified",
        text="A detector that issues certificates is asked for one of its answer. One that is there and holds is "
        "given again, and nothing is asked. 424: the vendor failed, was not reached, or takes nothing more for now; "
        "with `Retry-After`, the same request may do better later.",
        scope="detections:write",
        body=Body(model=CertificateIn, required=False, example={"detector": "asc", "format": "pdf"}),
        once=True,
        answers={
            201: Answer(text="It is issued.", model=Certificate, headers=("Location",)),
            200: Answer(text="It was issued before.", model=Certificate),
        },
        refusals=(424,),
    ),
    ("GET", "/v1/detections/{detection_id}/certificate"): Operation(
        id="readCertificate",
        tag=Tag.DETECTIONS,
        summary="Look a certificate up",
        text="The latest one, and whether it holds: the vendor is asked each time.",
        scope="detections:read",
        answers={200: Answer(text="The certificate.", model=CheckedCertificate)},
    ),
}
