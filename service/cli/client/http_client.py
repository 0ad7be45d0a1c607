"""A customer's HTTP client of the API: one request, its JSON, and every refusal as sentences. Knows no command.

Where the service is, and the key, come from `RELAY_URL` and `RELAY_API_KEY` (or the file `RELAY_API_KEY_FILE` names).
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, BinaryIO, Self
from urllib.parse import quote, urlsplit

import httpx

from service.cli.screen.plain_text import printable
from service.kit.errors import SettingsError

DEFAULT_URL = "http://127.0.0.1:8000"
_CLIENT_SECONDS = 40.0
_CONNECT_SECONDS = 10.0
_USER_AGENT = "relay-command"


class ClientError(Exception):
    """A request that did not succeed. The text is for a person, one sentence a line."""


class UnreachableError(ClientError):
    """There was no answer, or only a part of one."""


class RefusedError(ClientError):
    """The service answered, with a refusal. `retry_after` is in seconds, where it said."""

    def __init__(self, text: str, status: int, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after = retry_after

    @property
    def may_pass(self) -> bool:
        """True if the same request may succeed later."""
        return self.status in (408, 429) or self.status >= httpx.codes.INTERNAL_SERVER_ERROR


@dataclass(frozen=True, slots=True)
class Address:
    """The service's URL, and the caller's API key."""

    url: str
    key: str = field(repr=False)


def address() -> Address:
    """Return the address from the environment. Raise `SettingsError` that names what is missing or malformed."""
    url = (os.environ.get("RELAY_URL") or DEFAULT_URL).rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"RELAY_URL: the service's address; for example {DEFAULT_URL}")
    key = os.environ.get("RELAY_API_KEY") or _key_in_file(os.environ.get("RELAY_API_KEY_FILE"))
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError(
            "RELAY_API_KEY: required; for example the key that `relay dev` or `relay keys create` prints"
        )
    return Address(url, key)


def _key_in_file(path: str | None) -> str | None:
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"RELAY_API_KEY_FILE: the file {path!r} cannot be read ({error})") from error


def path_of(*parts: str) -> str:
    """Return `/v1/…` with these parts, each escaped, so that none can lead to another path."""
    return "/".join(["/v1", *(quote(part, safe="") for part in parts)])


class Client:
    """Requests with the key. Close it, or use it as a context."""

    def __init__(self, address: Address) -> None:
        self.url = address.url
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {address.key}", "User-Agent": _USER_AGENT},
            timeout=httpx.Timeout(_CLIENT_SECONDS, connect=_CONNECT_SECONDS),
            trust_env=not is_loopback(address.url),
        )

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close its connections."""
        self._http.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        body: object | None = None,
        file: tuple[str, BinaryIO] | None = None,
    ) -> Any:
        """Send one request; return the answer's JSON, `None` where it has no body. Raise `ClientError`."""
        sent: dict[str, Any] = {"params": {name: _parameter(value) for name, value in (params or {}).items()}}
        if body is not None:
            sent["json"] = body
        if file is not None:
            sent["files"] = {"file": file}
        with self._readable_errors():
            response = self._http.request(method, self.url + path, **sent)
        return _body_of(response)

    @contextlib.contextmanager
    def stream(
        self, path: str, *, params: Mapping[str, str], headers: Mapping[str, str], silence_seconds: float
    ) -> Iterator[Iterator[bytes]]:
        """Yield the answer's bytes as they arrive. Raise `ClientError`, also after `silence_seconds` without a byte."""
        timeout = httpx.Timeout(_CLIENT_SECONDS, connect=_CONNECT_SECONDS, read=silence_seconds)
        with (
            self._readable_errors(),
            self._http.stream("GET", self.url + path, params=params, headers=headers, timeout=timeout) as response,
        ):
            if not response.is_success:
                response.read()
                _body_of(response)
            yield response.iter_bytes()

    @contextlib.contextmanager
    def _readable_errors(self) -> Iterator[None]:
        """Turn network errors into `UnreachableError` with a sentence for a person."""
        try:
            yield
        except httpx.ConnectError as error:
            raise UnreachableError(
                f"Nothing answers at {self.url}: is it running? `relay dev` starts one here; RELAY_URL names another."
            ) from error
        except httpx.TimeoutException as error:
            raise UnreachableError(f"{self.url} did not answer in time.") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnreachableError(
                f"The connection to {self.url} broke: {str(error) or type(error).__name__}."
            ) from error


def is_loopback(url: str) -> bool:
    """Return True if the address is this machine's own: it is reached without the environment's proxy."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parameter(value: object) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _body_of(response: httpx.Response) -> Any:
    if response.status_code == httpx.codes.NO_CONTENT:
        return None
    try:
        body = response.json()
    except ValueError:
        body = None
    if response.is_success and body is not None:
        return body
    raise RefusedError(_sentences(response, body), response.status_code, _wait_of(response))


def _sentences(response: httpx.Response, body: object) -> str:
    """Return a problem (RFC 9457) as text: the fault, a line for each invalid member, the request id."""
    if not isinstance(body, dict):
        return f"{response.status_code} {response.reason_phrase}, and no JSON: does RELAY_URL lead to the service?"
    lines = [f"{response.status_code} {body.get('code', response.reason_phrase)}: {body.get('detail', '')}"]
    faults = body.get("errors")
    known = [fault for fault in faults if isinstance(fault, dict)] if isinstance(faults, list) else []
    lines += [f"  {fault.get('pointer', '')}: {fault.get('detail', '')}" for fault in known]
    if (wait := _wait_of(response)) is not None:
        lines.append(f"  It asks to be tried again in {wait:.0f} s.")
    if body.get("request_id"):
        lines.append(f"  request id: {body['request_id']}")
    return "\n".join(printable(line) for line in lines)


def _wait_of(response: httpx.Response) -> float | None:
    """Return `Retry-After` in its form of seconds (RFC 9110 §10.2.3), or `None`."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else None
