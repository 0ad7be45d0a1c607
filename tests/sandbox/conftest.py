"""What most of the sandbox's tests need running."""

from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from tests.sandbox.serving import SETTINGS, Inbox, client_of, sandbox_at, serving


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def inbox_url(inbox: Inbox) -> Iterator[str]:
    with serving(inbox.app) as base:
        yield base


@pytest.fixture(scope="session")
def sandbox_url() -> Iterator[str]:
    """A sandbox for all tests that ask, with no AIPPIM address registered."""
    with sandbox_at(SETTINGS) as base:
        yield base


@pytest.fixture
def client(sandbox_url: str) -> Iterator[httpx.Client]:
    with client_of(sandbox_url) as one:
        yield one


@pytest.fixture
def heard_client(inbox_url: str) -> Iterator[httpx.Client]:
    """The client of a sandbox of its own, whose AIPPIM callbacks go to the inbox."""
    settings = replace(SETTINGS, callback_url=lambda _: f"{inbox_url}/callback")
    with sandbox_at(settings) as base, client_of(base) as one:
        yield one
