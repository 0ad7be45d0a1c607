"""A whole answer that refuses is asked for again a few times, then the run has failed in the vendor's words."""

from service.detectors.enums import ReasonCode
from service.detectors.port import Accepted, Raw, Refused
from service.detectors.reading import Reading
from service.kit.db.database import Database
from tests.detections.rows import World, world
from tests.detections.scripted import Scripted, raw

_MOST = 5


class Grumbling(Scripted):
    """A vendor that answers each submission with trouble of its own, in whole sentences."""

    def parse_submit(self, raw: Raw) -> Accepted | Reading | Refused:
        if raw.status == 200:
            return Refused(ReasonCode.VENDOR_ERROR, "the analyser fell over", retryable=True)
        return super().parse_submit(raw)


async def _for_an_hour(here: World) -> None:
    """Each time it is due the run is taken up, until it has ended."""
    while (due_at := here.run().due_at) is not None:
        here.clock.now = max(due_at, here.clock.now)
        await here.dispatch()


async def test_a_submission_that_is_refused_each_time_is_sent_five_times(database: Database) -> None:
    vendor = Grumbling(submits=[raw({"status": "error"})] * 40)
    here = world(database, vendor)
    here.submit("asc")
    await _for_an_hour(here)
    run = here.run()
    assert (vendor.times("submit"), run.state, run.reason_code) == (_MOST, "failed", "vendor_error")
    assert run.reason_text == "the analyser fell over"


async def test_being_told_to_wait_uses_up_none_of_the_tries(database: Database) -> None:
    busy, error = raw({}, 429, retry_after="20"), raw({"status": "error"})
    vendor = Grumbling(submits=[busy, error, busy, error, busy, busy, error, error, *[error] * 30])
    here = world(database, vendor)
    here.submit("asc")
    await _for_an_hour(here)
    assert (vendor.times("submit"), here.run().state) == (4 + _MOST, "failed")
