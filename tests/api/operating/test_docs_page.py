"""The page of the document loads nothing from other hosts, and may not."""

import re
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from service.api.operating.pages import ROUTES
from tests.api.doors import app_of, client_of

_HOST = "relay.test"


class _Page(HTMLParser):
    """What a page loads or leads to, and whether it holds script or style of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.addresses += [known[name] or "" for name in ("src", "href", "action", "data", "srcset") if name in known]
        self.inline += [name for name in known if name == "style" or name.startswith("on")]
        self._open = tag

    def handle_data(self, data: str) -> None:
        if self._open in ("script", "style") and data.strip():
            self.inline.append(data)


def _read(html: str) -> _Page:
    page = _Page()
    page.feed(html)
    return page


async def _get(path: str) -> httpx.Response:
    async with client_of(app_of(ROUTES)) as client:
        return await client.get(path)


def _policy(response: httpx.Response) -> dict[str, list[str]]:
    rules = [rule.split() for rule in response.headers["content-security-policy"].split(";")]
    return {name: sources for name, *sources in rules}


async def test_the_page_loads_and_leads_to_nothing_elsewhere() -> None:
    page = _read((await _get("/docs")).text)
    assert len(page.addresses) == 5
    assert {urlsplit(urljoin(f"http://{_HOST}/docs", each)).netloc for each in page.addresses} == {_HOST}


async def test_the_page_holds_no_script_and_no_style_of_its_own() -> None:
    assert _read((await _get("/docs")).text).inline == []


def test_what_a_page_must_not_hold_is_found() -> None:
    page = _read('<script src="https://cdn.example/x.js">x()</script><p style="a" onclick="b">')
    assert (page.addresses, page.inline) == (["https://cdn.example/x.js"], ["x()", "style", "onclick"])


async def test_all_the_page_names_is_there_but_the_document_itself() -> None:
    page = _read((await _get("/docs")).text)
    places = [urlsplit(urljoin(f"http://{_HOST}/docs", each)).path for each in page.addresses]
    answers = {place: await _get(place) for place in places if place != "/openapi.json"}
    assert "/openapi.json" in places
    assert {place: answer.status_code for place, answer in answers.items()} == dict.fromkeys(answers, 200)


async def test_the_style_sheet_fetches_nothing() -> None:
    style = (await _get("/docs/swagger-ui.css")).text
    assert len(style) > 100_000
    assert set(re.findall(r"url\(\s*['\"]?([^'\")]{5})", style)) == {"data:"}
    assert "@import" not in style


async def test_the_script_is_one_that_knows_openapi_3_1() -> None:
    script = await _get("/docs/swagger-ui.js")
    found = re.search(r'PACKAGE_VERSION:"(\d+)\.', script.text)
    assert found
    assert int(found[1]) >= 5
    assert script.headers["content-type"].startswith("text/javascript")


async def test_the_page_tells_no_validator_of_the_document() -> None:
    assert "validatorUrl: null" in (await _get("/docs/start.js")).text


@pytest.mark.parametrize("path", ["/docs", "/docs/start.js", "/docs/swagger-ui.js", "/docs/icon.svg"])
async def test_the_policy_allows_this_host_alone(path: str) -> None:
    policy = _policy(await _get(path))
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == ["'self'"]
    allowed = {source for sources in policy.values() for source in sources}
    assert allowed <= {"'none'", "'self'", "data:"}


@pytest.mark.parametrize("name", ["..%2fdescribe.py", "scalar.js", "swagger_bundle.js", "", "%00"])
async def test_no_other_file_is_given_out(name: str) -> None:
    assert (await _get(f"/docs/{name}")).status_code in (404, 307)
