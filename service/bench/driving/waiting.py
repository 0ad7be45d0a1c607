"""Detections that wait for their vendor's callback, as many as are wanted: copies of one that was really asked."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from service.bench.driving.copies import Original, copy_files, read_original, renamed, write_copies
from service.bench.driving.load import Customer, recording
from service.bench.driving.vendor import Submitted
from service.kit.db.database import Database

_SUBMITTED_SECONDS, _LOOK_SECONDS = 30.0, 0.1


@dataclass(frozen=True, slots=True)
class Waiting:
    """A detection, and the callback that will end it: what it is about, and its body."""

    detection_id: str
    job_id: str
    body: bytes


@dataclass(frozen=True)
class Pattern:
    """An upload that was asked and one that was not, with their names: what copies are made of."""

    database: Database
    folder: Path
    submitted: Submitted
    asked: Original
    detection_id: str
    media_id: str
    job_id: str
    spare: Original
    spare_id: str
    _numbers: "count[int]"

    def detections(self, wanted: int) -> list[Waiting]:
        """Write so many detections that wait for their callback."""
        made, copies = [], []
        for number in self._next(wanted):
            job_id, body = self.submitted.begin(f"copy-{number}.ai.wav")
            copies.append({**renamed(self.asked.names, number), self.job_id: job_id})
            made.append(Waiting(copies[-1][self.detection_id], job_id, body))
        self._write(self.asked, self.media_id, copies)
        return made

    def media(self, wanted: int) -> list[str]:
        """Write so many recordings without a detection, and return their ids."""
        copies = [renamed(self.spare.names, number) for number in self._next(wanted)]
        self._write(self.spare, self.spare_id, copies)
        return [each[self.spare_id] for each in copies]

    def _next(self, wanted: int) -> Sequence[int]:
        return [next(self._numbers) for _ in range(wanted)]

    def _write(self, original: Original, media_id: str, copies: Sequence[dict[str, str]]) -> None:
        copy_files(self.folder, media_id, [each[media_id] for each in copies])
        write_copies(self.database, original, copies)


async def pattern_of(customer: Customer, database: Database, folder: Path, submitted: Submitted) -> Pattern:
    """Upload twice, ask once, wait until the vendor was told, and read what was written of it."""
    sounds = recording(), recording()
    spare_id, media_id = [await customer.upload(audio) for audio in sounds]
    spare_hash, asked_hash = [hashlib.sha256(audio).hexdigest() for audio in sounds]
    spare = await asyncio.to_thread(read_original, database, spare_id)
    detection_id = await customer.ask(media_id)
    async with asyncio.timeout(_SUBMITTED_SECONDS):
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            asked = await asyncio.to_thread(read_original, database, media_id, detection_id)
            if job_id := submitted.id_among(asked.texts()):
                break
    names = (asked.also(asked_hash), detection_id, media_id, job_id)
    return Pattern(database, folder, submitted, *names, spare.also(spare_hash), spare_id, count(1))
