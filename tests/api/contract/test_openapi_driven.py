"""Every operation the document describes is asked of a real process, and what it answers is as described."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.api.contract.document import operations
from service.api.routes import ROUTES
from service.callbacks.addresses import address_token
from service.kit.security.sealing import Sealer
from service.kit.security.tokens import Tokens
from service.kit.system_clock import system_clock
from service.media.links import MediaLinks
from tests.api.integrator import Integrator, integrator

OPERATIONS = {operation.id: (operation.path, operation) for operation in operations(ROUTES)}
SECRETS = ("endpoints:read", "endpoints:write", "secrets:read")
_AN_ID = "01m3gnq8rvfa3ag3t7hdjs5ezh"
_PREFIXES = {
    "media_id": "med", "detection_id": "det", "event_id": "evt", "endpoint_id": "we", "delivery_id": "dlv",
}  # fmt: skip


@pytest.fixture(scope="module")
def customer(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Integrator]:
    """Start a real process with a worker and the sandbox, and yield a customer of it."""
    folder = tmp_path_factory.mktemp("integrator")
    database = folder / "relay.db"
    database.write_bytes(sqlite_template.read_bytes())
    with integrator(database, folder) as one:
        yield one


def _endpoint_once(name: str, **more: Any) -> Callable[[Integrator], object]:
    return lambda customer: customer.got(name, endpoint_id=customer.register(), **more)


def _cancel(customer: Integrator) -> None:
    detection_id = customer.ask("song.slow.wav")
    customer.got("cancelDetection", detection_id=detection_id, json={})
    assert customer.call("cancelDetection", detection_id=detection_id).status_code == 409


def _recheck(customer: Integrator) -> None:
    detection_id = customer.ask()
    customer.ended(detection_id)
    customer.got("recheckDetection", detection_id=detection_id)
    assert customer.ended(detection_id)["revision"] == 2


def _certify(customer: Integrator) -> str:
    detection_id = customer.ask(detectors=["asc"])
    assert customer.call("createCertificate", detection_id=detection_id).status_code == 409
    assert customer.call("readCertificate", detection_id=detection_id).status_code == 404
    customer.ended(detection_id)
    made = customer.call("createCertificate", detection_id=detection_id, json={"detector": "asc", "format": "pdf"})
    again = customer.call("createCertificate", detection_id=detection_id)
    assert (made.status_code, again.status_code, again.json()) == (201, 200, made.json())
    wrong = customer.call("createCertificate", detection_id=detection_id, json={"detector": "pex", "format": "pdf"})
    assert wrong.status_code == 422
    refs = customer.got("readDetection", detection_id=detection_id)["detectors"][0]["refs"]["other"]
    assert refs["certificate.id"] == made.json()["certificate_id"]
    return detection_id


def _erase_detection(customer: Integrator) -> None:
    detection_id = customer.ask()
    assert customer.call("eraseDetection", detection_id=detection_id).status_code == 409
    customer.ended(detection_id)
    assert customer.call("eraseDetection", detection_id=detection_id).status_code == 204


def _erase_media(customer: Integrator) -> None:
    assert customer.call("eraseMedia", media_id=customer.upload("erased.wav")).status_code == 204


def _upload(customer: Integrator) -> None:
    text = {"file": ("text.wav", Path(__file__).read_bytes())}
    assert customer.call("uploadMedia", files=text).status_code == 415
    customer.upload("once.wav")
    customer.upload("once.wav")
    assert [status for name, status in customer.done if name == "uploadMedia"][-2:] == [201, 200]


def _create_detection(customer: Integrator) -> None:
    body = {"source": {"media_id": customer.upload("idempotent.wav")}, "metadata": {"n": 1}, "declared": {"ai": True}}
    once: dict[str, Any] = {"json": body, "headers": {"Idempotency-Key": "once"}}
    first = customer.call("createDetection", **once)
    again = customer.call("createDetection", **once)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first.json(), "true")
    wrong = customer.call("createDetection", json={"source": {}, "detectors": ["nobody"], "colour": 1})
    assert len(wrong.json()["errors"]) == 3
    _create_the_example(customer)


def _stream_timeline(customer: Integrator) -> None:
    first = customer.call("streamTimeline", detection_id=customer.detection_id)
    marks = [line.removeprefix("id: ") for line in first.text.splitlines() if line.startswith("id: ")]
    again = customer.call("streamTimeline", detection_id=customer.detection_id, headers={"Last-Event-ID": marks[-1]})
    assert ("event: end" in first.text, again.status_code) == (True, 204)


def _stream_events(customer: Integrator) -> None:
    """Read only the beginning: the stream never ends by itself."""
    headers = {"Authorization": f"Bearer {customer.key}"}
    with contextlib.ExitStack() as stack:
        opened = customer.client.stream("GET", "/v1/events/stream", headers=headers)
        response = stack.enter_context(opened)
        assert response.headers["content-type"] in OPERATIONS["streamEvents"][1].responses[200].content
        assert next(response.iter_lines()).startswith("retry:")
    customer.done.append(("streamEvents", response.status_code))


def _events(customer: Integrator) -> list[dict[str, Any]]:
    customer.detection_id  # noqa: B018 - so that there are some
    found: list[dict[str, Any]] = customer.got("listEvents", params={"limit": "100"})["data"]
    return found


def _callback(customer: Integrator) -> None:
    sealer, now = Sealer(customer.secret_keys), system_clock()
    with customer.database.writing() as session:
        token = address_token(session, "test", "aippim", sealer, now)
    challenge = {"type": "url_verification", "challenge": "c"}
    known: dict[str, Any] = {"vendor": "aippim", "key": ""}
    assert customer.got("takeCallback", token=token, json=challenge, **known) == {"challenge": "c"}
    assert customer.call("takeCallback", token="wrong", json=challenge, **known).status_code == 401
    assert customer.call("takeCallback", token=token, content=b"[]", **known).status_code == 400


def _create_the_example(customer: Integrator) -> None:
    """Send the document's own example unchanged: it must end with the verdict that its name asks for."""
    path = customer.client.get("/openapi.json").json()["paths"]["/v1/detections"]["post"]
    example = path["requestBody"]["content"]["application/json"]["example"]
    made = customer.call("createDetection", json=example)
    assert (made.status_code, customer.ended(made.json()["id"])["verdict"]) == (202, "ai_generated")


def _media_link(customer: Integrator, name: str, *statuses: int) -> None:
    detection_id = customer.ask("fetched.slow.wav")
    run_id = customer.got("readDetection", detection_id=detection_id)["detectors"][0]["run_id"]
    links = MediaLinks(Tokens(customer.secret_keys), "")
    token = links.link(run_id, "test", "a.wav", system_clock() + timedelta(minutes=1)).split("/")[2]
    for status, asked in zip(statuses, ("", "bytes=0-9", "bytes=999999999-"), strict=False):
        response = customer.call(name, token=token, name="a.wav", key="", headers={"Range": asked} if asked else {})
        assert response.status_code == status


DRIVES: dict[str, Callable[[Integrator], object]] = {
    "isLive": lambda customer: customer.got("isLive", key=""),
    "isReady": lambda customer: customer.got("isReady", key=""),
    "readMetrics": lambda customer: customer.call("readMetrics", key=""),
    "readDescription": lambda customer: customer.got("readDescription", key=""),
    "readDocs": lambda customer: customer.call("readDocs", key=""),
    "readDocsAsset": lambda customer: [
        customer.call("readDocsAsset", asset=name, key="") for name in ("start.js", "icon.svg", "swagger-ui.css")
    ],
    "readFrontPage": lambda customer: customer.call("readFrontPage", key=""),
    "readApiRoot": lambda customer: customer.call("readApiRoot", key=""),
    "readMedia": lambda customer: customer.got("readMedia", media_id=customer.upload("read.wav")),
    "uploadMedia": _upload,
    "eraseMedia": _erase_media,
    "createDetection": _create_detection,
    "listDetections": lambda customer: [
        customer.detection_id,
        customer.got("listDetections", params={"verdict": "ai_generated", "limit": "1"}),
        customer.call("listDetections", params={"limit": "0", "colour": "red"}),
    ],
    "readDetection": lambda customer: [
        customer.got("readDetection", detection_id=customer.detection_id),
        customer.got("readDetection", detection_id=customer.detection_id, params={"revision": "1"}),
        customer.call("readDetection", detection_id=customer.detection_id, params={"wait": "99"}),
    ],
    "eraseDetection": _erase_detection,
    "cancelDetection": _cancel,
    "recheckDetection": _recheck,
    "createCertificate": _certify,
    "readCertificate": lambda customer: customer.got("readCertificate", detection_id=_certify(customer)),
    "listDetectors": lambda customer: customer.got("listDetectors"),
    "readTimeline": lambda customer: customer.got("readTimeline", detection_id=customer.detection_id),
    "streamTimeline": _stream_timeline,
    "listEvents": _events,
    "readEvent": lambda customer: customer.got("readEvent", event_id=_events(customer)[0]["id"]),
    "streamEvents": _stream_events,
    "createEndpoint": lambda customer: customer.register("detection.*"),
    "listEndpoints": lambda customer: [customer.endpoint_id, customer.got("listEndpoints", params={"limit": "1"})],
    "readEndpoint": _endpoint_once("readEndpoint"),
    "changeEndpoint": _endpoint_once("changeEndpoint", json={"description": "ours", "headers": {"x-team": "rights"}}),
    "deleteEndpoint": lambda customer: customer.call("deleteEndpoint", endpoint_id=customer.register()),
    "enableEndpoint": _endpoint_once("enableEndpoint", json={"release": "newest"}),
    "disableEndpoint": _endpoint_once("disableEndpoint"),
    "pingEndpoint": _endpoint_once("pingEndpoint"),
    "rotateSecret": _endpoint_once("rotateSecret", json={"overlap_seconds": 60}),
    "recoverEndpoint": _endpoint_once("recoverEndpoint", json={"since": "2026-01-01T00:00:00Z"}),
    "readSecret": lambda customer: customer.got(
        "readSecret", endpoint_id=customer.endpoint_id, key=customer.new_key(*SECRETS)
    ),
    "readStats": lambda customer: customer.got("readStats", endpoint_id=customer.endpoint_id),
    "listDeliveries": lambda customer: [
        customer.delivery_id,
        customer.got("listDeliveries", params={"event": "detection.*"}),
    ],
    "readDelivery": lambda customer: customer.got("readDelivery", delivery_id=customer.delivery_id),
    "resendDelivery": lambda customer: customer.got("resendDelivery", delivery_id=customer.delivery_id),
    "takeCallback": _callback,
    "fetchMedia": lambda customer: _media_link(customer, "fetchMedia", 200, 206, 416),
    "describeMedia": lambda customer: _media_link(customer, "describeMedia", 200),
}


def test_every_operation_is_driven() -> None:
    assert set(DRIVES) == set(OPERATIONS)


@pytest.mark.parametrize("name", DRIVES)
def test_the_operation_answers_as_described(customer: Integrator, name: str) -> None:
    before = len(customer.done)
    DRIVES[name](customer)
    assert any(status < 300 for done, status in customer.done[before:] if done == name)


@pytest.mark.parametrize("name", [name for name, (_, operation) in OPERATIONS.items() if operation.scope])
def test_a_key_is_asked_for_and_the_scope_that_is_described(customer: Integrator, name: str) -> None:
    scope = OPERATIONS[name][1].scope
    other = "endpoints:read" if scope != "endpoints:read" else "detections:read"
    path = _strange(name)
    assert customer.call(name, key="", **path).status_code == 401
    assert customer.call(name, key="vr_test_made-up", **path).status_code == 401
    refused = customer.call(name, key=customer.new_key(other), **path)
    assert refused.status_code == 403
    assert f'scope="{scope}"' in refused.headers["WWW-Authenticate"]


@pytest.mark.parametrize("name", [name for name, (path, operation) in OPERATIONS.items() if "_id}" in path])
def test_what_does_not_exist_is_refused_as_described(customer: Integrator, name: str) -> None:
    needed: dict[str, Any] = {
        "recoverEndpoint": {"json": {"since": "2026-01-01T00:00:00Z"}},
        "changeEndpoint": {"json": {}},
    }
    more = _strange(name) | needed.get(name, {})
    assert customer.call(name, key=customer.new_key(*_scopes(name)), **more).status_code == 404


def test_every_event_of_the_feed_is_as_described(customer: Integrator) -> None:
    """Three do not come from the sandbox, or not within a day: `test_openapi_events` has those."""
    _recheck(customer)
    _cancel(customer)
    _certify(customer)
    customer.ended(customer.ask("song.fail.wav", detectors=["aippim/standard", "asc"]))  # Pex would be asked again
    endpoint_id = customer.register()
    for action in ("disableEndpoint", "enableEndpoint", "pingEndpoint"):
        customer.got(action, endpoint_id=endpoint_id)
    customer.until(lambda: _types(customer), lambda types: "webhook_endpoint.recovered" in types)
    for event in _all_events(customer):
        if "erased_at" in event["data"]:
            assert set(event["data"]) == {"id", "revision", "erased_at"}
        else:
            customer.promise.check_event(event)
    others = {"detection.delayed", "review.required", "webhook_endpoint.failing"}
    assert _types(customer) | others == set(customer.promise.document["webhooks"])


def _types(customer: Integrator) -> set[str]:
    return {event["type"] for event in _all_events(customer)}


def _all_events(customer: Integrator) -> Iterator[dict[str, Any]]:
    cursor: dict[str, str] = {}
    more = True
    while more:
        page = customer.got("listEvents", params={"limit": "100", **cursor})
        yield from page["data"]
        more, cursor = page["has_more"], {"cursor": page["next_cursor"]}


def _strange(name: str) -> dict[str, Any]:
    """Return ids for the operation's path that are well-formed, and belong to no object."""
    path, _ = OPERATIONS[name]
    return {place: f"{prefix}_{_AN_ID}" for place, prefix in _PREFIXES.items() if f"{{{place}}}" in path}


def _scopes(name: str) -> tuple[str, ...]:
    scope = OPERATIONS[name][1].scope
    return (scope,) if scope else ()
