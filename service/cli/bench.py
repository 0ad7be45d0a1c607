"""`relay bench`: what the product costs on this machine, measured over real sockets on loopback."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from service.bench.driving.processes import Version

group = typer.Typer(help="Measure what the product costs on this machine.", no_args_is_help=True)

DatabaseOption = Annotated[
    str | None,
    typer.Option(help="A PostgreSQL, on which databases are made and dropped again; a SQLite file by default."),
]
QuickFlag = Annotated[bool, typer.Option("--quick", help="A tenth of it: whether it works, not what it costs.")]
AgainstOption = Annotated[
    str | None, typer.Option(help="A commit to measure in turn with this version, in the same run.")
]
JsonPath = Annotated[
    Path | None, typer.Option("--json", help="Write the report here as JSON too; - is standard output.")
]

_WARNING = 30


@contextlib.asynccontextmanager
async def serve(make: "Callable[[str], ASGIApp]") -> AsyncIterator[str]:
    """Serve on loopback, as every command does, the application that is made for the address."""
    from service.cli.serving import free_socket, serving, url_of  # noqa: PLC0415 - `relay --help` is quick

    bound = free_socket()
    url = url_of(bound)
    async with serving(make(url), bound):
        yield url


@group.command()
def chain(
    database: DatabaseOption = None,
    quick: QuickFlag = False,
    against: AgainstOption = None,
    json_path: JsonPath = None,
) -> None:
    """Take recordings from upload to webhook, one detector by callback: rate, times, CPU, SQL by stage."""
    from service.bench.chain import measure as measured  # noqa: PLC0415 - `relay --help` is quick
    from service.bench.chain.report import chain_report, show_chain  # noqa: PLC0415
    from service.bench.counting.statements import Stage  # noqa: PLC0415
    from service.bench.driving.processes import Version  # noqa: PLC0415

    size = measured.QUICK if quick else measured.FULL

    async def measure(versions: Sequence[Version]) -> tuple[list[measured.Round], list[Stage]]:
        rounds = [
            await measured.measure_round(serve, version, database, size)
            for _ in range(size.rounds)
            for version in versions
        ]
        return rounds, await measured.measure_stages(serve, database, size)

    with _versions(against) as versions:
        rounds, stages = asyncio.run(measure(versions))
    _told(chain_report(rounds, stages, size, _kind(database)), show_chain, json_path)


@group.command()
def flow(
    database: DatabaseOption = None,
    quick: QuickFlag = False,
    against: AgainstOption = None,
    json_path: JsonPath = None,
) -> None:
    """Take callbacks to the customer at 10, 100 and 200 a second, and as many as go: times, rate, CPU."""
    from service.bench.driving.processes import Version  # noqa: PLC0415
    from service.bench.flow import measure as measured  # noqa: PLC0415 - `relay --help` is quick
    from service.bench.flow.report import flow_report, show_flow  # noqa: PLC0415

    size = measured.QUICK if quick else measured.FULL

    async def measure(versions: Sequence[Version]) -> list[measured.Round]:
        return [
            await measured.measure_round(serve, version, database, size)
            for _ in range(size.rounds)
            for version in versions
        ]

    with _versions(against) as versions:
        rounds = asyncio.run(measure(versions))
    _told(flow_report(rounds, size, _kind(database)), show_flow, json_path)


@group.command()
def ingest(database: DatabaseOption = None, quick: QuickFlag = False, json_path: JsonPath = None) -> None:
    """Take callbacks in durably, beside a bare route on the same server: rate, times, CPU, and the ratios."""
    from service.bench.ingest import measure as measured  # noqa: PLC0415
    from service.bench.ingest.report import ingest_report, show_ingest  # noqa: PLC0415

    size = measured.QUICK if quick else measured.FULL
    with _failures_told():
        rounds = asyncio.run(measured.measure_ingest(database, size))
    _told(ingest_report(rounds, size, _kind(database)), show_ingest, json_path)


@group.command()
def deliver(database: DatabaseOption = None, quick: QuickFlag = False, json_path: JsonPath = None) -> None:
    """Carry a backlog of webhooks out, beside the bare client at the same receiver: rate, CPU, and the ratios."""
    from service.bench.deliver import measure as measured  # noqa: PLC0415
    from service.bench.deliver.report import deliver_report, show_deliver  # noqa: PLC0415

    size = measured.QUICK if quick else measured.FULL
    with _failures_told():
        rounds = asyncio.run(measured.measure_deliver(database, size))
    _told(deliver_report(rounds, size, _kind(database)), show_deliver, json_path)


@group.command(hidden=True)
def bare(port: Annotated[int, typer.Option(help="Where to listen on loopback.")]) -> None:
    """Serve the bare route of `ingest` and `deliver`, as every command serves."""
    import uvicorn  # noqa: PLC0415

    from service.bench.driving.bare import bare_application  # noqa: PLC0415
    from service.cli.serving import how_to_serve  # noqa: PLC0415

    uvicorn.run(bare_application(), host="127.0.0.1", port=port, **how_to_serve())


@contextlib.contextmanager
def _versions(against: str | None) -> "Iterator[Sequence[Version]]":
    """Give this version, and the other one where one was named; tell what goes wrong inside."""
    from service.bench.driving.processes import Version  # noqa: PLC0415
    from service.bench.driving.versions import checked_out  # noqa: PLC0415

    with contextlib.ExitStack() as stack, _failures_told():
        others = [stack.enter_context(checked_out(against))] if against else []
        yield [Version("this version"), *others]


@contextlib.contextmanager
def _failures_told() -> Iterator[None]:
    """Tell what went wrong in a line, and end with 1; 130 where it was interrupted."""
    from service.bench.driving.generator import BenchError  # noqa: PLC0415
    from service.kit.logs import set_up_logs  # noqa: PLC0415

    set_up_logs("console", level=_WARNING)
    try:
        yield
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _told(report: Mapping[str, Any], show: Callable[[Mapping[str, Any]], None], json_path: Path | None) -> None:
    from service.bench.report import write_json  # noqa: PLC0415

    if str(json_path) != "-":
        show(report)
    if json_path is not None:
        write_json(report, str(json_path))


def _kind(database: str | None) -> str:
    return "PostgreSQL" if database else "SQLite"
