"""What `relay dev` keeps in its folder, and what it lets the environment say."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from service.cli.serve.dev_folder import dev_settings, kept_secret, settings_found
from service.kit.errors import SettingsError
from service.settings import Settings


def test_the_doctor_makes_nothing_where_no_service_lives(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"no relay dev lives in {tmp_path}"):
        settings_found(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_secret_that_is_gone_is_not_replaced_behind_its_databases_back(tmp_path: Path) -> None:
    secret = kept_secret(tmp_path)
    assert kept_secret(tmp_path) == secret
    (tmp_path / "relay.db").touch()
    (tmp_path / "secret").unlink()
    with pytest.raises(SettingsError, match="secret: gone"):
        kept_secret(tmp_path)


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener


def settings(folder: Path, bound: socket.socket, monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name in ("PUBLIC_URL", "OUTBOUND_ALLOW", "OUTBOUND_HTTPS_ONLY", "LOG_FORMAT", "DATABASE_URL", "SECRET_KEYS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return dev_settings(folder, bound.getsockname()[1])


def test_its_place_is_its_own_whatever_the_environment_says(
    tmp_path: Path, bound: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = {
        "DATABASE_URL": "postgres://a@b/c",
        "SECRET_KEYS": "x" * 40,
        "HOST": "0.0.0.0",
        "MEDIA_STORE": "database:",
    }
    found = settings(tmp_path, bound, monkeypatch, **elsewhere)
    assert found.database_url == f"sqlite:///{tmp_path / 'relay.db'}"
    assert found.secret_keys == (kept_secret(tmp_path),)
    assert found.bind == ("127.0.0.1", bound.getsockname()[1])
    assert found.media_store == f"file:{tmp_path / 'media'}"
    assert found.public_url == found.sandbox_base == f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_the_rest_is_the_environments_to_say(
    tmp_path: Path, bound: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"PUBLIC_URL": "https://tunnel.example", "OUTBOUND_HTTPS_ONLY": "true", "AIPPIM_FIRST_POLL_SECONDS": "9"}
    found = settings(tmp_path, bound, monkeypatch, **said)
    aippim, asc = found.vendors["aippim"], found.vendors["asc"]
    assert (found.public_url, found.outbound_https_only, aippim.first_poll_seconds) == (
        "https://tunnel.example",
        True,
        9,
    )
    assert (found.log_format, aippim.poll_seconds, asc.first_poll_seconds) == ("console", 3, 6)
    assert [str(network) for network in found.outbound_allow] == ["127.0.0.0/8", "::1/128"]


def test_what_the_environment_has_wrong_is_named(
    tmp_path: Path, bound: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="AIPPIM_POLL_SECONDS"):
        settings(tmp_path, bound, monkeypatch, AIPPIM_POLL_SECONDS="soon")
