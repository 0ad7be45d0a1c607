"""The command `relay`: a table of what it can do. The file of a command is imported when the command runs.

So `relay --help` is quick: it imports none of them, and takes their help from the table.
"""

import sys
import tomllib
from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from service.cli.serve.lean import for_a_server

if TYPE_CHECKING:
    from typer._click import Command, Context

_PROJECT = Path(__file__).parents[2] / "pyproject.toml"


class Listed(NamedTuple):
    """A command: where its function or Typer group is, as `module:name` below this package, and its help.

    Without a name it is the module's `command`. `serves`: its process is for serving, and loads nothing that only a
    person at a terminal needs.
    """

    target: str
    help: str
    serves: bool = False


COMMANDS = {
    "demo": Listed(
        "serve.demo",
        "Run one detection from upload to verified webhook, with sandbox vendors on this machine and no account.",
    ),
    "dev": Listed(
        "serve.dev",
        "Run a whole service to integrate with: database, worker and sandbox in one process; print an API key and curl"
        " commands.",
    ),
    "submit": Listed(
        "client.submit",
        "Submit audio and print the verdict. Exit status 0: answered; 1: refused or failed; 3: not finished in time.",
    ),
    "listen": Listed(
        "client.listen", "Print events as they happen, and optionally forward them as webhooks to a URL of yours."
    ),
    "web": Listed(
        "serve.web", "Serve the API, the callbacks and the sandbox. HOST and PORT set the address.", serves=True
    ),
    "worker": Listed(
        "serve.worker",
        "Submit runs, poll vendors, process callbacks and deliver webhooks. Several workers may share one PostgreSQL.",
        serves=True,
    ),
    "healthcheck": Listed(
        "serve.healthcheck",
        "Check the web process or the worker in this container. Exit status 0: healthy; 1: not. For Docker.",
    ),
    "migrate": Listed(
        "operate.database:migrate", "Migrate the database to this version. Safe when several instances start at once."
    ),
    "sandbox": Listed("serve.sandbox", "Serve only the sandbox's stand-ins for the vendors, on loopback."),
    "callback-url": Listed(
        "operate.vendor_accounts:print_callback_url", "Print the signed URL to paste into the vendor's dashboard."
    ),
    "register-callback": Listed(
        "operate.vendor_accounts:register_callback",
        "Register our account-level callback URL through the vendor's API. Safe to repeat.",
    ),
    "quota": Listed(
        "operate.vendor_accounts:print_quota",
        "Print the remaining quota and the usage that live vendors report. Sends a few counted requests to each.",
    ),
    "rotate-keys": Listed(
        "operate.database:rotate_keys",
        "Re-encrypt everything stored with the newest of SECRET_KEYS. Safe to repeat; older keys may be removed"
        " afterwards.",
    ),
    "renormalise": Listed(
        "operate.renormalise",
        "Interpret stored answers again after an adapter was fixed, and revise what changed. Sends no vendor requests.",
    ),
    "doctor": Listed(
        "operate.doctor",
        "Check settings, database, vendors and queues; print one line for each check, with advice. Exit status 1 if any"
        " check fails.",
    ),
    "keys": Listed("operate.accounts:keys_group", "API keys: create, list, revoke."),
    "bench": Listed("operate.bench:group", "Measure throughput, latency and memory on this machine."),
    "budgets": Listed("operate.accounts:budgets_group", "Monthly budgets of accounts: set, list, remove."),
    "endpoints": Listed("client.webhooks:endpoints_group", "Webhook endpoints, through the API of a running service."),
    "deliveries": Listed(
        "client.webhooks:deliveries_group", "Deliveries of webhooks, through the API of a running service."
    ),
    "detections": Listed("client.detections:group", "Detections, through the API of a running service."),
}


class LazyGroup(TyperGroup):
    """The commands of the table. Help and completion list stand-ins; the one that runs is loaded."""

    def list_commands(self, ctx: "Context") -> list[str]:  # noqa: ARG002 - Typer's signature
        """Return the names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: "Context", cmd_name: str) -> "Command | None":  # noqa: ARG002 - Typer's signature
        """Return a stand-in with the help and nothing else: `--help` calls this for every command."""
        listed = COMMANDS.get(cmd_name)
        return None if listed is None else TyperCommand(cmd_name, help=listed.help)

    def resolve_command(self, ctx: "Context", args: list[str]) -> "tuple[str | None, Command | None, list[str]]":
        """Return the command that is to run, loaded, and its arguments."""
        # Typer suggests one of these where a name is misspelt.
        self.commands = {name: TyperCommand(name) for name in COMMANDS}
        name, found, rest = super().resolve_command(ctx, args)
        return name, load(name) if name is not None and found is not None else None, rest


def load(name: str) -> "Command":
    """Import the command of this name, and build it."""
    listed = COMMANDS[name]
    with for_a_server() if listed.serves else nullcontext():
        found = _load_target(listed.target)
    if not isinstance(found, typer.Typer):
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        single.command(name, help=listed.help)(_exiting(found))
        found = single
    command = get_command(found)
    command.name, command.help = name, listed.help
    return command


def _load_target(target: str) -> Any:
    """Import the module of this target, and return its function or group."""
    path, _, name = target.partition(":")
    module = import_module(f"service.cli.{path}")
    return getattr(module, name) if name else module.command


def _exiting(function: Callable[..., int | None]) -> Callable[..., None]:
    """Return the function with its result as the exit status of the process."""

    @wraps(function)
    def run(**given: Any) -> None:
        raise typer.Exit(function(**given) or 0)

    return run


def _version() -> str:
    """Return the version that `pyproject.toml` has; as installed, where the package is not in a checkout."""
    from importlib import metadata  # noqa: PLC0415 - `relay --help` is quick

    if not _PROJECT.is_file():
        return metadata.version("verdict-relay")
    found: str = tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]["version"]
    return found


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"relay {_version()}\n")
        raise typer.Exit


app = typer.Typer(name="relay", cls=LazyGroup, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def relay(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Verdict Relay: asks vendors whether a track was made by AI, and delivers one signed answer."""
