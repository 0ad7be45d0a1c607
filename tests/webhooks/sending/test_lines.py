"""An attempt is one wide line, with every id, and is counted by its class."""

from structlog.testing import capture_logs

from service.kit.db.database import Database
from service.webhooks.sending.deliver import ATTEMPTS
from service.webhooks.sending.finish import ATTEMPT_SECONDS
from tests.loopback import answer
from tests.webhooks.desk import customer, desk
from tests.webhooks.rows import ACCOUNT, deliveries, draft, put_endpoint


async def test_an_attempt_is_one_wide_line_with_every_id(database: Database) -> None:
    before = ATTEMPTS.value("http_5xx"), ATTEMPTS.value("taken")
    measured = ATTEMPT_SECONDS.count("failed"), ATTEMPT_SECONDS.count("taken")
    answers = [answer(b"", status="500 X"), answer(b"")]
    async with customer(lambda n: answers[n - 1]) as receiver, desk(database) as sender:
        endpoint_id, _ = put_endpoint(database, url=receiver.url)
        (event_id,) = await sender.tell(draft("det_1"))
        with capture_logs() as logs:
            await sender.work()
            sender.clock.wait(60)
            await sender.work()
    failed, taken = [line for line in logs if line["event"] == "delivery.attempted"]
    ids = {
        "delivery_id": deliveries(database)[0].id,
        "endpoint_id": endpoint_id,
        "event_id": event_id,
        "detection_id": "det_1",
        "account_id": ACCOUNT,
        "mode": "live",
    }
    assert failed.items() >= (ids | {"n": 1, "status_code": 500, "error_class": "http_5xx", "state": "due"}).items()
    assert taken.items() >= (ids | {"n": 2, "status_code": 200, "error_class": None, "state": "succeeded"}).items()
    assert taken["took_ms"] >= 0
    assert (ATTEMPTS.value("http_5xx"), ATTEMPTS.value("taken")) == (before[0] + 1, before[1] + 1)
    assert (ATTEMPT_SECONDS.count("failed"), ATTEMPT_SECONDS.count("taken")) == (measured[0] + 1, measured[1] + 1)
