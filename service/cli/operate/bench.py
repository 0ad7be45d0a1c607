"""`relay bench`: what the product costs on this machine, measured over real sockets on loopback."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from service.bench.driving.processes import Version

group = typer.Typer(no_args_is_help=True)

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
    from service.cli.http.serving import free_socket, serving, url_of  # noqa: PLC0415 - `relay --help` is quick

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
    _measure("chain", database, quick, json_path, against)


@group.command()
def flow(
    database: DatabaseOption = None,
    quick: QuickFlag = False,
    against: AgainstOption = None,
    json_path: JsonPath = None,
) -> None:
    """Take callbacks to the customer at 10, 100 and 200 a second, and as many as go: times, rate, CPU."""
    _measure("flow", database, quick, json_path, against)


@group.command()
def ingest(
    database: DatabaseOption = None,
    quick: QuickFlag = False,
    against: AgainstOption = None,
    json_path: JsonPath = None,
) -> None:
    """Take callbacks in durably, beside a bare route on the same server: rate, times, CPU, and the ratios."""
    _measure("ingest", database, quick, json_path, against)


@group.command()
def deliver(database: DatabaseOption = None, quick: QuickFlag = False, json_path: JsonPath = None) -> None:
    """Carry a backlog of webhooks out, beside the bare client at the same receiver: rate, CPU, and the ratios."""
    _measure("deliver", database, quick, json_path)


@group.command()
def claim(database: DatabaseOption = None, quick: QuickFlag = False, json_path: JsonPath = None) -> None:
    """Claim 100 due rows where 10,000 wait, in turn with where a million do: times and their ratio."""
    _measure("claim", database, quick, json_path)


@group.command()
def neighbours(database: DatabaseOption = None, quick: QuickFlag = False, json_path: JsonPath = None) -> None:
    """Carry webhooks to endpoints that work with as many dead ones beside them, in turn with none: the ratios."""
    _measure("neighbours", database, quick, json_path)


@group.command()
def memory(
    database: DatabaseOption = None,
    quick: QuickFlag = False,
    against: AgainstOption = None,
    json_path: JsonPath = None,
) -> None:
    """Look at the resident memory of an idle web process with worker, 12 s after its start."""
    _measure("memory", database, quick, json_path, against)


@group.command()
def polling(database: DatabaseOption = None, quick: QuickFlag = False, json_path: JsonPath = None) -> None:
    """Count what the vendor is asked for a detection, when its callbacks work and when every one is lost."""
    _measure("polling", database, quick, json_path)


@group.command("all")
def every_case(
    database: DatabaseOption = None,
    quick: QuickFlag = False,
    against: AgainstOption = None,
    json_path: JsonPath = None,
) -> None:
    """Measure every case in turn, and tell in one table what was reached of what is to be."""
    from service.bench.cases import CASES  # noqa: PLC0415 - `relay --help` is quick

    _measure_all(list(CASES), database, quick, json_path, against)


@group.command(hidden=True)
def bare(port: Annotated[int, typer.Option(help="Where to listen on loopback.")]) -> None:
    """Serve the bare route of `ingest` and `deliver`, as every command serves."""
    import uvicorn  # noqa: PLC0415

    from service.bench.driving.bare import bare_application  # noqa: PLC0415
    from service.cli.http.serving import how_to_serve  # noqa: PLC0415

    uvicorn.run(bare_application(), host="127.0.0.1", port=port, **how_to_serve())


@contextlib.contextmanager
def _versions(against: str | None) -> "Iterator[Sequence[Version]]":
    """Give this version, and the other one where one was named; tell what goes wrong inside."""
    from service.bench.driving.processes import Version  # noqa: PLC0415
    from service.bench.driving.versions import checked_out  # noqa: PLC0415

    with contextlib.ExitStack() as stack, _failures_reported():
        others = [stack.enter_context(checked_out(against))] if against else []
        yield [Version("this version"), *others]


@contextlib.contextmanager
def _failures_reported() -> Iterator[None]:
    """Tell what went wrong in a line, and end with 1; 130 where it was interrupted."""
    from service.bench.driving.generator import BenchError  # noqa: PLC0415
    from service.kit.telemetry.logs import set_up_logs  # noqa: PLC0415

    set_up_logs("console", level=_WARNING)
    try:
        yield
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _measure(name: str, database: str | None, quick: bool, json_path: Path | None, against: str | None = None) -> None:
    """Measure one case and tell it: tables, or JSON, or both."""
    from service.bench.cases import CASES, Setup  # noqa: PLC0415 - `relay --help` is quick
    from service.bench.reach import show_reached  # noqa: PLC0415
    from service.bench.report import write_json  # noqa: PLC0415

    case = CASES[name]
    with _versions(against) as versions:
        report = asyncio.run(case.measure(Setup(serve, database, versions, quick)))
    if str(json_path) != "-":
        case.show(report)
        show_reached({name: report})
    if json_path is not None:
        write_json(report, str(json_path))


def _measure_all(
    names: Sequence[str], database: str | None, quick: bool, json_path: Path | None, against: str | None
) -> None:
    """Measure these cases one after the other. One that fails is told, the others go on, and the end is status 1."""
    from service.bench.cases import CASES, Setup  # noqa: PLC0415 - `relay --help` is quick
    from service.bench.driving.generator import BenchError  # noqa: PLC0415
    from service.bench.reach import show_reached  # noqa: PLC0415
    from service.bench.report import write_json  # noqa: PLC0415

    told, reports = str(json_path) != "-", {}
    with _versions(against) as versions:
        for name in names:
            try:
                reports[name] = asyncio.run(CASES[name].measure(Setup(serve, database, versions, quick)))
            except BenchError as error:
                sys.stderr.write(f"{name}: {error}\n")
            else:
                if told:
                    CASES[name].show(reports[name])
                    sys.stdout.write("\n")
    if told:
        show_reached(reports)
    if json_path is not None:
        write_json(reports, str(json_path))
    if len(reports) < len(names):
        raise typer.Exit(1)
