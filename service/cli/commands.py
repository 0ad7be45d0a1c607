"""Every command of `relay`, in one list. What a command needs is imported when it runs: `relay --help` is quick."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="relay",
    help="Verdict Relay: asks outside detectors whether a track was made by AI, and carries one answer on.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
keys = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True)
app.add_typer(keys, name="keys")

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


@app.command()
def demo(
    tracks: Annotated[list[Path] | None, typer.Argument(help="Audio files; a short one of our own by default.")] = None,
    detectors: Annotated[str | None, typer.Option(help="Detectors to ask, with commas between.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary folder.")] = False,
) -> None:
    """The main job in one command, with no account anywhere: sandbox vendors, real sockets, a verified webhook."""
    from service.cli.demo import run_demo  # noqa: PLC0415 - see the module's docstring

    names = [name.strip() for name in detectors.split(",") if name.strip()] if detectors else None
    raise typer.Exit(run_demo(tracks or [], names, keep=keep))


@app.command()
def web(
    with_worker: Annotated[bool, typer.Option("--with-worker", help="Work in this process too.")] = False,
) -> None:
    """Serve the API, the callbacks and the sandbox. Host and port come from HOST and PORT."""
    from service.cli.web import run_web  # noqa: PLC0415

    run_web(with_worker=with_worker)


@app.command()
def worker() -> None:
    """Dispatch, poll, process callbacks and deliver webhooks. Any number of these may share one PostgreSQL."""
    from service.cli.worker import run_worker  # noqa: PLC0415

    run_worker()


@app.command()
def migrate() -> None:
    """Bring the database to this version. Safe when several instances start at once."""
    from service.cli.migrate import run_migrate  # noqa: PLC0415

    run_migrate()


@app.command()
def sandbox(port: Annotated[int, typer.Option(help="Where to listen on loopback.")] = 8010) -> None:
    """The vendors' twins alone, on loopback."""
    from service.cli.sandbox import run_sandbox  # noqa: PLC0415

    run_sandbox(port)


@app.command("callback-url")
def callback_url(
    vendor: Annotated[str, typer.Argument(help="The vendor, for example aippim.")],
    mode: Annotated[str, typer.Option(help="live or test.")] = "live",
    rotate: Annotated[bool, typer.Option("--rotate", help="Make a new address; the old one stays valid.")] = False,
    overlap_hours: Annotated[float, typer.Option(help="How long the old address stays valid.")] = 72,
    as_json: JsonFlag = False,
) -> None:
    """Print the signed address to paste into the vendor's dashboard."""
    from service.cli.callback_url import print_callback_url  # noqa: PLC0415

    print_callback_url(vendor, mode, rotate=rotate, overlap_hours=overlap_hours, as_json=as_json)


@keys.command("create")
def keys_create(
    account: Annotated[str, typer.Option(help="The account's name; the same name is the same account.")],
    mode: Annotated[str, typer.Option(help="live or test.")] = "test",
    as_json: JsonFlag = False,
) -> None:
    """Make an API key. It is shown once."""
    from service.cli.keys import create  # noqa: PLC0415

    create(account, mode, as_json=as_json)


@keys.command("list")
def keys_list(as_json: JsonFlag = False) -> None:
    """List the keys: never the key itself."""
    from service.cli.keys import show  # noqa: PLC0415

    show(as_json=as_json)


@keys.command("revoke")
def keys_revoke(key_id: Annotated[str, typer.Argument(help="The key's id, key_….")]) -> None:
    """Revoke a key, at once."""
    from service.cli.keys import revoke  # noqa: PLC0415

    revoke(key_id)
