"""What a vendor says before its answer is complete stands in the story at once, and moves nothing."""

import re
from dataclasses import replace
from pathlib import Path

from service.detectors.enums import RunStatus
from service.detectors.port import Raw, RunContext
from service.detectors.reading import Reading, Segment
from service.kit.db.database import Database
from service.timeline import fact
from service.timeline.assemble import Timeline, assemble
from tests.detections.rows import World, policy_of
from tests.detections.scripted import asc, raw, said
from tests.webhooks.rows import outbox

_PART = Reading(status=RunStatus.RUNNING, segments=[Segment(index=3, start_ms=12_000, end_ms=16_000)])


async def test_windows_are_told_before_the_answer_in_the_shape_of_a_result(database: Database) -> None:
    seen: list[Timeline] = []

    async def stream(ask: RunContext) -> Raw:
        here.clock.turn(1)
        assert ask.on_partial is not None
        await ask.on_partial(raw({}, 101, here.clock()), _PART)
        with database.reading() as session:
            seen.append(assemble(session, here.detection(detection_id), here.clock()))
        here.clock.turn(1)
        return replace(said("ai"), received_at=here.clock())

    here = World(database, replace(policy_of(asc(submits=[stream])), outbox=outbox()))
    detection_id = here.submit("asc")
    await here.dispatch()
    (early,) = seen
    assert [one.kind for one in early.facts] == ["detection.created", "run.queued", "run.submitted", "run.windows"]
    (segment,) = early.facts[-1].shown()["segments"]
    assert segment == _PART.segments[0].model_dump(mode="json")
    with database.reading() as session:
        story = assemble(session, here.detection(detection_id), here.clock())
    assert early.facts[-1] in story.facts
    assert [one.kind for one in story.facts if one.kind.startswith("run.")] == [
        *("run.queued", "run.submitted", "run.windows", "run.observed", "run.ended")
    ]


def test_every_kind_that_is_told_has_its_place_in_the_order() -> None:
    place = Path(fact.__file__)
    sources = "".join(path.read_text(encoding="utf-8") for path in place.parent.glob("*.py") if path != place)
    told = set(re.findall(r'"((?:detection|source|run|callback|event|delivery)\.[a-z]+)"', sources))
    assert "run.windows" in told
    assert told <= set(fact.KINDS)
