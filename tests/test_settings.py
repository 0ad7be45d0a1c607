"""Settings: read once, checked, and what is wrong is said with the setting's name and an example."""

from pathlib import Path

import pytest

from service.kit.errors import SettingsError
from service.settings import Settings, load_settings
from service.vendors.asc import AscSettings

KEY = "a made-up secret key of enough characters"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "PORT", "DATABASE_URL", "PUBLIC_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SECRET_KEYS", KEY)


def complaint() -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_settings()
    return str(caught.value).splitlines()


def test_the_defaults_are_those_of_one_small_box() -> None:
    settings = load_settings()
    assert settings.is_sqlite
    assert settings.bind == ("127.0.0.1", 8000)
    assert settings.webhook_retry_seconds == (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
    assert [settings.vendors[name].first_poll_seconds for name in ("aippim", "asc")] == [45, None]
    assert settings.outbound_https_only
    assert settings.live_vendors == []


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("PORT", "eighty", "PORT: Input should be a valid integer"),
        ("SECRET_KEYS", "short", "SECRET_KEYS: each key needs at least 32 characters"),
        ("DATABASE_URL", "mysql://localhost/relay", "DATABASE_URL: 'mysql' is not a database we speak"),
        ("AIPPIM_POLL_SECONDS", "-1", "AIPPIM_POLL_SECONDS: Input should be greater than or equal to 0"),
        ("ASC_CALLBACK_TRUST", "always", "ASC_CALLBACK_TRUST: Input should be 'confirm' or 'payload'"),
        ("OUTBOUND_ALLOW", "loopback", "OUTBOUND_ALLOW: 'loopback' does not appear to be an IPv4 or IPv6 network"),
        ("MEDIA_STORE", "s3:bucket", "MEDIA_STORE: file: and a folder, or database:"),
        ("PUBLIC_URL", "relay.example.com", "PUBLIC_URL: an address that begins with https:// or http://"),
    ],
)
def test_a_wrong_setting_is_named_with_an_example(
    name: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    (line,) = complaint()
    assert line.startswith(sentence)
    assert "; for example " in line


def test_everything_wrong_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET_KEYS")
    monkeypatch.setenv("ASC_POLL_SECONDS", "soon")
    assert [line.partition(":")[0] for line in complaint()] == ["ASC_POLL_SECONDS", "SECRET_KEYS"]


def test_a_live_vendor_needs_to_reach_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASC_API_KEY", "asc_key")
    assert complaint()[0].startswith("PUBLIC_URL: required, because asc is configured")
    monkeypatch.setenv("PUBLIC_URL", "https://relay.example.com/")
    settings = load_settings()
    assert settings.live_vendors == ["asc"]
    assert settings.sandbox_base == "https://relay.example.com"


def test_a_secret_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"{KEY},{KEY} too\n")
    monkeypatch.delenv("SECRET_KEYS")
    monkeypatch.setenv("SECRET_KEYS_FILE", str(tmp_path / "keys"))
    assert load_settings().secret_keys == (KEY, f"{KEY} too")
    monkeypatch.setenv("SECRET_KEYS_FILE", str(tmp_path / "none"))
    assert complaint()[0].startswith("SECRET_KEYS_FILE: the file")


@pytest.mark.parametrize(
    ("host", "port", "bind"),
    [
        (None, None, ("127.0.0.1", 8000)),
        (None, "5000", ("0.0.0.0", 5000)),
        ("127.0.0.2", "5000", ("127.0.0.2", 5000)),
        ("0.0.0.0", None, ("0.0.0.0", 8000)),
    ],
)
def test_the_platforms_port_opens_us_to_its_router(
    host: str | None, port: str | None, bind: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("HOST", host), ("PORT", port)):
        if value is not None:
            monkeypatch.setenv(name, value)
    assert load_settings().bind == bind


def test_secrets_are_not_in_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUBLIC_URL", "https://relay.example.com")
    monkeypatch.setenv("DATABASE_URL", "postgres://relay:hunter2@db/relay?sslmode=require")
    monkeypatch.setenv("AIPPIM_API_KEY", "canary-key")
    monkeypatch.setenv("AIPPIM_WEBHOOK_SECRETS", "canary-secret")
    shown = repr(load_settings())
    assert not any(secret in shown for secret in (KEY, "hunter2", "canary-key", "canary-secret"))


def test_a_groups_bare_name_in_the_environment_is_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIPPIM", "x")
    monkeypatch.setenv("ASC", "{}")
    asc = load_settings().vendors["asc"]
    assert isinstance(asc, AscSettings)
    assert asc.submit_action == "analyze-url"


def test_settings_do_not_change() -> None:
    settings: Settings = load_settings()
    with pytest.raises(ValueError, match="frozen"):
        settings.host = "elsewhere"  # type: ignore[misc]  # that it cannot be set is the point


@pytest.mark.parametrize(("works", "count"), [(False, 4), (True, 6)])
def test_a_process_opens_few_connections_unless_told_otherwise(
    works: bool, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings().for_process(works=works).database_connections == 8, "SQLite's are threads"
    monkeypatch.setenv("DATABASE_URL", "postgres://relay@host/relay")
    assert load_settings().for_process(works=works).database_connections == count
    monkeypatch.setenv("DATABASE_CONNECTIONS", "3")
    assert load_settings().for_process(works=works).database_connections == 3
