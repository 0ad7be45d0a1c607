"""Every command of `relay`, in one list. What a command needs is imported when it runs: `relay --help` is quick."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from service.cli import bench, budgets, deliveries, detections, endpoints
from service.cli.lean import for_a_server
from service.cli.options import JsonFlag, present, words_in

app = typer.Typer(
    name="relay",
    help="Verdict Relay: asks outside detectors whether a track was made by AI, and carries one answer on.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
keys = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True)
app.add_typer(keys, name="keys")
# What these hold is listed in their own files.
app.add_typer(bench.group, name="bench")
app.add_typer(budgets.group, name="budgets")
app.add_typer(endpoints.group, name="endpoints")
app.add_typer(deliveries.group, name="deliveries")
app.add_typer(detections.group, name="detections")


def _version(wanted: bool) -> None:
    if wanted:
        from service.cli.version import version  # noqa: PLC0415 - see the module's docstring

        sys.stdout.write(f"relay {version()}\n")
        raise typer.Exit


@app.callback()
def relay(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Verdict Relay: asks outside detectors whether a track was made by AI, and carries one answer on."""


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
def dev(
    port: Annotated[int, typer.Option(help="Where to listen on loopback; 0 takes any that is free.")] = 8000,
    data: Annotated[Path, typer.Option(help="The folder for everything it keeps.")] = Path("data/dev"),
) -> None:
    """A whole service to integrate with: database, worker and sandbox in one process, an API key, curl to paste."""
    from service.cli.dev import run_dev  # noqa: PLC0415

    raise typer.Exit(run_dev(data, port))


@app.command()
def submit(
    sources: Annotated[list[str], typer.Argument(help="Audio files, or addresses of some.", metavar="FILE_OR_URL...")],
    detectors: Annotated[str | None, typer.Option(help="Detectors to ask, with commas between.")] = None,
    rule: Annotated[str | None, typer.Option(help="consensus, majority, any or cascade.")] = None,
    quorum: Annotated[int | None, typer.Option(min=1, help="How many votes it takes.")] = None,
    external_id: Annotated[str | None, typer.Option(help="An id of yours, given back.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Ask the vendors, also where an answer for the same bytes is stored.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the verdicts.")] = False,
    patience: Annotated[float, typer.Option(min=0, help="Seconds to wait at most.")] = 3900,
    as_json: JsonFlag = False,
) -> None:
    """Submit audio and print the verdict. 0: answered; 1: refused, failed; 3: not finished while we waited."""
    from service.cli.submit import run_submit  # noqa: PLC0415

    question = present(
        detectors=words_in(detectors),
        decision=present(rule=rule, quorum=quorum) or None,
        external_id=external_id,
        force=force or None,
    )
    raise typer.Exit(run_submit(sources, question, wait=wait, as_json=as_json, patience_seconds=patience))


@app.command()
def listen(
    forward: Annotated[str | None, typer.Option(help="Post each event, signed, to this address too.")] = None,
    secret: Annotated[str | None, typer.Option(help="What signs them, whsec_…; made up and printed else.")] = None,
    types: Annotated[
        str | None, typer.Option(help="Only these types, for example detection.*; commas between.")
    ] = None,
    after: Annotated[str | None, typer.Option(help="Begin after this event, evt_…; with what comes now else.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Print events as they happen, and forward them as webhooks to an address of yours."""
    from service.cli.listen import listen_as_asked  # noqa: PLC0415

    raise typer.Exit(listen_as_asked(forward, secret, words_in(types), after, as_json=as_json))


@app.command()
def web(
    with_worker: Annotated[bool, typer.Option("--with-worker", help="Work in this process too.")] = False,
) -> None:
    """Serve the API, the callbacks and the sandbox. Host and port come from HOST and PORT."""
    with for_a_server():
        from service.cli.web import run_web  # noqa: PLC0415

    run_web(with_worker=with_worker)


@app.command()
def worker(
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for a database that another process still migrates.")
    ] = 0,
) -> None:
    """Dispatch, poll, process callbacks and deliver webhooks. Any number of these may share one PostgreSQL."""
    with for_a_server():
        from service.cli.worker import run_worker  # noqa: PLC0415

    run_worker(wait_seconds=wait)


@app.command()
def healthcheck() -> None:
    """Tell whether the web process or the worker in this container is well: 0, else 1. Docker asks it."""
    from service.cli.healthcheck import run_healthcheck  # noqa: PLC0415

    raise typer.Exit(run_healthcheck())


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


@app.command("register-callback")
def register_callback(
    vendor: Annotated[str, typer.Argument(help="The vendor, for example asc.")],
    mode: Annotated[str, typer.Option(help="live or test.")] = "live",
    as_json: JsonFlag = False,
) -> None:
    """Tell the vendor our account's address by its API, beside the addresses of single runs. Safe to repeat."""
    from service.cli.register_callback import register_callback as register  # noqa: PLC0415

    raise typer.Exit(register(vendor, mode, as_json=as_json))


@app.command()
def quota(as_json: JsonFlag = False) -> None:
    """Print what live vendors say is left of their limits, and what was used. Each question is a request there."""
    from service.cli.quota import run_quota  # noqa: PLC0415

    raise typer.Exit(run_quota(as_json=as_json))


@app.command("rotate-keys")
def rotate_keys(as_json: JsonFlag = False) -> None:
    """Seal everything stored with the newest of SECRET_KEYS. Safe to repeat; afterwards an old key may go."""
    from service.cli.rotate_keys import rotate_keys as rotate  # noqa: PLC0415

    raise typer.Exit(rotate(as_json=as_json))


@app.command()
def renormalise(
    detector: Annotated[str | None, typer.Option(help="Only answers of this detector, or of this vendor.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(help="Only detections created since, in UTC.", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    ] = None,
    after: Annotated[str | None, typer.Option(help="Go on after this detection, det_….")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would change, and write nothing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Read stored answers again after an adapter was mended, and revise what changed. No vendor is asked."""
    from service.cli.renormalise import run_renormalise  # noqa: PLC0415

    raise typer.Exit(run_renormalise(detector, since, after, dry_run=dry_run, as_json=as_json))


@app.command()
def doctor(
    data: Annotated[
        Path | None, typer.Option(help="A folder of relay dev's: look at the service that lives there.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check settings, database, vendors and what waits: a line each that says what to do. 1 if anything fails."""
    from service.cli.doctor import run_doctor  # noqa: PLC0415

    raise typer.Exit(run_doctor(data, as_json=as_json))


@keys.command("create")
def keys_create(
    account: Annotated[str, typer.Option(help="The account's name; the same name is the same account.")],
    mode: Annotated[str, typer.Option(help="live or test.")] = "test",
    scopes: Annotated[
        str | None, typer.Option(help="What it may do, with commas between; all but admin by default.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="What it is for, shown in the list.")] = None,
    expires: Annotated[
        datetime | None,
        typer.Option(
            help="When it stops to work, in UTC; never by default.", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make an API key. It is shown once."""
    from service.cli.keys import create  # noqa: PLC0415

    create(account, mode, words_in(scopes), label, expires, as_json=as_json)


@keys.command("list")
def keys_list(as_json: JsonFlag = False) -> None:
    """List the keys with their last use and their end: never the key itself."""
    from service.cli.keys import show  # noqa: PLC0415

    show(as_json=as_json)


@keys.command("revoke")
def keys_revoke(key_id: Annotated[str, typer.Argument(help="The key's id, key_….")]) -> None:
    """Revoke a key, at once."""
    from service.cli.keys import revoke  # noqa: PLC0415

    revoke(key_id)
