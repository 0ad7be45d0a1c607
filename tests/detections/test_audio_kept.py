"""Audio is kept as long as a run may need it, and no longer: whatever came first, its end or the bytes."""

from sqlmodel import select

from service.kit.db.database import Database
from service.media.models import Media
from tests.at_work import by_hand, turn
from tests.detections.rows import SOUND, world
from tests.detections.scripted import asc
from tests.loopback import answer
from tests.vendor_calls.test_fetch_source import _all, _fetcher, _server


async def test_audio_that_comes_after_its_detections_end_goes_in_time(database: Database) -> None:
    here = world(database, asc())
    async with _server(song=answer(SOUND)) as server, _fetcher(here) as fetcher:
        detection_id = here.submit("asc", source_url=f"{server.at.url}/song.wav", source_name="s")
        here.clock.turn(4000)
        async with by_hand(here) as worker:
            await turn(worker, "expire runs")
        assert here.detection(detection_id).status == "expired"
        await _all(fetcher)
    with database.reading() as session:
        assert None not in session.exec(select(Media.delete_after)).all()
