"""`relay bench deliver` puts a backlog that is due, and tells ratios. No time is looked at, only that it is told."""

from pathlib import Path

import pytest
from sqlmodel import select

from service.bench.deliver import Round, Size, deliver_report, post_bare, show_deliver
from service.bench.driving.backlog import BODY_BYTES, Sent, put_backlog
from service.bench.driving.bare import bare_application
from service.bench.driving.processes import Deployment, Version
from service.cli.operate.bench import serve
from service.events.models import Event
from service.kit.db.database import Database
from service.webhooks.models import Delivery

_SMALL = Size(events=2, rounds=1)


def test_every_delivery_of_the_backlog_is_due(database: Database, database_url: str, tmp_path: Path) -> None:
    environment = {"SECRET_KEYS": "k" * 40, "DATABASE_URL": database_url}
    endpoints = [f"http://127.0.0.1:1/{number}" for number in range(3)]
    put_backlog(endpoints, 2, Deployment(Version("one"), environment, tmp_path, "", database.url))
    with database.reading() as session:
        assert [delivery.state for delivery in session.exec(select(Delivery))] == ["due"] * 6
        bodies = [event.body for event in session.exec(select(Event))]
    assert len(bodies) == 2
    assert all(abs(len(body) - BODY_BYTES) < 100 for body in bodies)


async def test_the_bare_client_posts_as_many(capsys: pytest.CaptureFixture[str]) -> None:
    async with serve(lambda _: bare_application()) as url:
        bare = await post_bare(f"{url}/", _SMALL.deliveries)
    assert bare.cpu_us["client"] > 0
    product = Sent(bare.rate / 2, {"worker": bare.cpu_us["client"] * 3, "database": 1_000_000})
    report = deliver_report([Round(product, bare)], _SMALL, "PostgreSQL")
    assert (report["rate_ratio"], report["cpu_ratio"]) == pytest.approx((0.5, 3))
    show_deliver(report)
    assert "ratio" in capsys.readouterr().out
