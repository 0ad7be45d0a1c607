"""`relay budgets set | list | remove`: what accounts may spend in a calendar month, on this deployment's database."""

from typing import Annotated

import typer

from service.cli.options import JsonFlag

group = typer.Typer(help="Monthly budgets of accounts: set, list, remove.", no_args_is_help=True)

AccountName = Annotated[str, typer.Option(help="The account's name.")]
Mode = Annotated[str, typer.Option(help="live or test.")]
Currency = Annotated[str, typer.Option(help="Three letters, for example USD.")]


@group.command("set")
def set_(
    account: AccountName,
    per_month: Annotated[str, typer.Option(help="What may be spent in a calendar month (UTC), for example 50.")],
    currency: Currency = "USD",
    mode: Mode = "live",
) -> None:
    """Set what an account may spend a month. What it has spent this month counts."""
    from service.cli.budget_rows import change  # noqa: PLC0415 - `relay --help` is quick

    change(account, mode, currency, per_month)


@group.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """List the budgets, and what of each is spent this month."""
    from service.cli.budget_rows import show  # noqa: PLC0415

    show(as_json=as_json)


@group.command("remove")
def remove(account: AccountName, currency: Currency = "USD", mode: Mode = "live") -> None:
    """Let an account spend what it likes."""
    from service.cli.budget_rows import drop  # noqa: PLC0415

    drop(account, mode, currency)
