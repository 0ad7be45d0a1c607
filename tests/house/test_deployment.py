"""The files to deploy by: each setting in them exists, and none that is needed is missing; their commands exist too."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from service.cli.commands import COMMANDS
from service.kit.errors import SettingsError
from service.media.ingest import MAX_BYTES
from service.settings import Settings, load_settings
from service.vendors import VENDORS

_ROOT = Path(__file__).resolve().parents[2]
_BLUEPRINTS = ("render.yaml", "deploy/render-one-service.yaml")
_ALWAYS = {"SECRET_KEYS", "METRICS_TOKEN", "TRUSTED_PROXY_HOPS", "WEB_CONCURRENCY"}
_RANDOM = "x9" * 32
_UNITS = sorted((_ROOT / "deploy" / "systemd").glob("*.service"))
_STOPS_WITHIN_SECONDS = 25
_BINARY = "/opt/relay/.venv/bin/relay"
_CADDYFILE = (_ROOT / "deploy" / "caddy" / "Caddyfile").read_text(encoding="utf-8")


def _app() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((_ROOT / "app.json").read_text(encoding="utf-8"))
    return found


def _blueprint(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((_ROOT / name).read_text(encoding="utf-8"))
    return found


def _variables(blueprint: dict[str, Any], service: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    groups = {group["name"]: group["envVars"] for group in blueprint.get("envVarGroups", [])}
    for one in service["envVars"]:
        yield from ((each["key"], each) for each in (groups[one["fromGroup"]] if "fromGroup" in one else [one]))


def _services() -> list[tuple[str, dict[str, Any], dict[str, dict[str, Any]]]]:
    return [
        (f"{name}: {service['name']}", service, dict(_variables(blueprint, service)))
        for name in _BLUEPRINTS
        for blueprint in [_blueprint(name)]
        for service in blueprint["services"]
    ]


def _ours() -> set[str]:
    own = {name.upper() for name in Settings.model_fields if name not in Settings.groups}
    return own | {f"{name}_{field}".upper() for name in VENDORS for field in VENDORS[name].settings.model_fields}


def _needed_by_vendors() -> set[str]:
    return {name for vendor in VENDORS.values() for name in vendor.settings().needed}


def test_every_variable_is_a_setting() -> None:
    named = set(_app()["env"]) | {name for _, _, variables in _services() for name in variables}
    assert named - _ours() == set()


def test_heroku_gets_all_that_it_needs_and_asks_for_no_more() -> None:
    variables = _app()["env"]
    assert set(variables) >= _ALWAYS | _needed_by_vendors() | {"PUBLIC_URL"}
    unset = {name for name, one in variables.items() if "value" not in one and "generator" not in one}
    assert [name for name in unset if variables[name].get("required", True)] == []
    assert (variables["TRUSTED_PROXY_HOPS"]["value"], variables["WEB_CONCURRENCY"]["value"]) == ("1", "1")


def test_render_gets_all_that_it_needs_and_asks_for_nothing() -> None:
    for name, service, variables in _services():
        assert set(variables) >= _ALWAYS | {"DATABASE_URL"}, name
        assert [key for key, one in variables.items() if "sync" in one] == [], name
        assert variables["TRUSTED_PROXY_HOPS"]["value"] == "1", name
        assert variables["METRICS_TOKEN"]["generateValue"], name
        assert service.get("healthCheckPath") == ("/readyz" if service["type"] == "web" else None), name


@pytest.mark.parametrize("name", _BLUEPRINTS)
def test_renders_database_is_not_on_the_internet(name: str) -> None:
    assert [database["ipAllowList"] for database in _blueprint(name)["databases"]] == [[]]


def test_one_service_does_all() -> None:
    (service,) = _blueprint("deploy/render-one-service.yaml")["services"]
    assert service["startCommand"] == "relay web --with-worker"


def _compose() -> dict[str, Any]:
    return _blueprint("deploy/compose.yaml")


def _relay_services() -> dict[str, dict[str, Any]]:
    return {name: one for name, one in _compose()["services"].items() if "build" in one}


def test_every_variable_of_compose_is_a_setting_and_none_that_is_needed_is_missing() -> None:
    for name, service in _relay_services().items():
        assert set(service["environment"]) - _ours() == set(), name
        assert set(service["environment"]) >= {"DATABASE_URL", "PUBLIC_URL", "TRUSTED_PROXY_HOPS"}, name
        assert service["env_file"] == ".env", name
    file = _deploy_page().split(".env <<END\n")[1].split("\nEND")[0]
    written = dict(line.split("=", 1) for line in file.splitlines())
    asked_for = set(re.findall(r"\$\{(\w+):\?", (_ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")))
    assert written.keys() >= {"SECRET_KEYS", "METRICS_TOKEN"} | asked_for
    assert written.keys() - _ours() == asked_for


def test_compose_runs_one_of_each_and_migrates_before() -> None:
    services = _relay_services()
    assert {name: one["command"] for name, one in services.items()} == {
        "migrate": ["relay", "migrate"],
        "web": ["relay", "web"],
        "worker": ["relay", "worker"],
    }
    for name in ("web", "worker"):
        assert services[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
        assert int(services[name]["stop_grace_period"].removesuffix("s")) > _STOPS_WITHIN_SECONDS


def test_caddy_lets_audio_and_waits_through_and_no_metrics() -> None:
    proxy = _compose()["services"]["proxy"]["environment"]
    assert set(re.findall(r"\{\$(\w+)", _CADDYFILE)) == set(proxy)
    assert proxy["RELAY_UPSTREAM"] == f"web:{_image_port()}"
    (megabytes,) = re.findall(r"max_size (\d+)MB", _CADDYFILE)
    assert int(megabytes) * 1_000_000 > MAX_BYTES
    assert "path /metrics" in _CADDYFILE


def _image_port() -> str:
    found = re.search(r"^ENV PORT=(\d+)$", (_ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return found[1]


def _unit(path: Path) -> list[tuple[str, str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [
        (key, value) for key, found, value in (line.partition("=") for line in lines if line[:1] not in "#[") if found
    ]


@pytest.mark.parametrize("path", _UNITS, ids=lambda path: path.name)
def test_a_unit_runs_a_command_of_ours_with_the_secret_as_a_file(path: Path) -> None:
    lines = _unit(path)
    started = [value.split() for key, value in lines if key in ("ExecStart", "ExecStartPre")]
    assert [command for command in started if command[0] != _BINARY] == []
    known = set(COMMANDS)
    assert {command[1] for command in started} <= known
    assert {("Environment", "SECRET_KEYS_FILE=%d/secret_keys"), ("UMask", "0077")} <= set(lines)
    assert [value for key, value in lines if key == "LoadCredential"] == ["secret_keys:/etc/relay/secret_keys"]


@pytest.mark.parametrize("path", [path for path in _UNITS if "doctor" not in path.name], ids=lambda path: path.name)
def test_systemd_waits_until_a_process_has_ended_and_starts_it_again(path: Path) -> None:
    lines = dict(_unit(path))
    assert int(lines["TimeoutStopSec"]) > _STOPS_WITHIN_SECONDS
    assert (lines["Restart"], lines["User"]) == ("always", "relay")


def test_the_page_names_every_file_of_the_folder() -> None:
    files = [
        path for path in (_ROOT / "deploy").rglob("*") if path.is_file() and path.name not in ("README.md", ".env")
    ]
    pages = _deploy_page() + (_ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in files if path.name not in pages] == []


def _deploy_page() -> str:
    return (_ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


def test_it_is_the_same_python_everywhere() -> None:
    version = (_ROOT / ".python-version").read_text(encoding="ascii").strip()
    assert re.findall(r"^FROM python:([\d.]+)", (_ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE) == [
        version
    ]
    assert not any("PYTHON_VERSION" in variables for _, _, variables in _services())
    assert f'python_version = "{version}"' in (_ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("told", "address"),
    [
        ({"RENDER_EXTERNAL_URL": "https://relay-web.onrender.com"}, "https://relay-web.onrender.com"),
        ({"HEROKU_APP_DEFAULT_DOMAIN_NAME": "relay-1.herokuapp.com"}, "https://relay-1.herokuapp.com"),
        ({"RENDER_EXTERNAL_URL": "https://a.example", "PUBLIC_URL": "https://relay.example/"}, "https://relay.example"),
        ({"RENDER_EXTERNAL_URL": "https://a.example/", "PUBLIC_URL": ""}, "https://a.example"),
        ({}, None),
    ],
)
def test_the_public_address_is_what_the_platform_says_unless_the_operator_does(
    told: dict[str, str], address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PUBLIC_URL", "RENDER_EXTERNAL_URL", "HEROKU_APP_DEFAULT_DOMAIN_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"SECRET_KEYS": _RANDOM, "ASC_API_KEY": "asc_key", **told}.items():
        monkeypatch.setenv(name, value)
    if address is None:
        with pytest.raises(SettingsError, match="PUBLIC_URL: required"):
            load_settings()
    else:
        assert load_settings().public_url == address


def test_what_a_command_is_given_wins_over_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENDER_EXTERNAL_URL", "https://a.example")
    assert load_settings(secrets_needed=False, public_url="http://127.0.0.1:8000").public_url == "http://127.0.0.1:8000"


def test_the_page_gives_the_secret_to_the_images_user_alone() -> None:
    (user,) = re.findall(r"useradd .*--uid (\d+)", (_ROOT / "Dockerfile").read_text(encoding="utf-8"))
    page = _deploy_page()
    assert f"chown {user} secret && sudo chmod 400 secret" in page
    assert "chmod 644" not in page


def test_setting_up_says_in_a_line_what_it_does_and_no_more() -> None:
    makefile = (_ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.split("$(READY): ")[1].split("\n\n")[0].splitlines()[1:]
    assert [line for line in recipe if not line.startswith("\t@")] == []
    assert [line for line in recipe if "$(PIP) install" in line and "--quiet --quiet" not in line] == []
    assert any("echo" in line and ".venv" in line for line in recipe)
