"""The check of accounts' budgets."""

from sqlmodel import Session

from service.billing.budgets import budgets, unpriced_text
from service.billing.prices import load_prices
from service.cli.checks.finding import Finding, World, ok, warn


async def check_budgets(world: World) -> Finding:
    """No detector that is asked escapes an account's budget because its price is not known."""
    settings, now = world.settings, world.clock()

    def modes(session: Session) -> set[str]:
        return {one.mode for one in budgets(session, now)}

    found = await world.database.read(modes)
    if not found:
        return ok("no account has a budget")
    if not settings.unknown_price_passes:
        return ok("budgets hold; what has no known price is refused where there is one")
    asked = dict.fromkeys(name for mode in sorted(found) for name in world.catalogue.names(mode))
    names = load_prices(settings.prices_file).unknown(asked, now)
    return warn(unpriced_text(names)) if names else ok("budgets hold: every price is known")
