"""What is said of `/v1/detectors`."""

from service.api.describe import Answer, Described, Operation, Tag
from service.api.schemas.offered import OfferedDetectors

OPERATIONS: Described = {
    ("GET", "/v1/detectors"): Operation(
        id="listDetectors",
        tag=Tag.DETECTORS,
        summary="List detectors",
        text="Every detector, also those that are not configured here: what it takes, how it does, how long it takes, "
        "how many of its callbacks stay out, and what is left of its quota.",
        scope="detections:read",
        answers={200: Answer(text="All of them.", model=OfferedDetectors)},
        refusals=(422,),
    ),
}
