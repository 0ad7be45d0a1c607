"""The check of the vendors' gates."""

from sqlmodel import Session

from service.cli.checks.finding import Finding, World, fail, ok, warn
from service.quotas.circuit import Circuit
from service.quotas.gate_store import read_gates
from service.quotas.gates import OUT_OF_CREDIT, left_today
from service.quotas.models import Gate


async def check_gates(world: World) -> Finding:
    """Vendors answer, and their quotas are not used up."""
    now = world.clock()
    found = await world.database.read(_gates)
    vendors = {key: configured for key in found if (configured := world.catalogue.configured(*key)) is not None}
    away = sorted(f"{vendor} ({mode})" for mode, vendor in vendors if found[mode, vendor].circuit != Circuit.CLOSED)
    if away:
        return fail(
            f"left alone after failures or a refused key: {', '.join(away)}; the log says vendor.circuit_opened."
            " Mend the key or wait for the vendor: one run at a time tries again"
        )
    unpaid = sorted(f"{vendor} ({mode})" for mode, vendor in vendors if found[mode, vendor].closed_for == OUT_OF_CREDIT)
    if unpaid:
        return fail(f"out of credit: {', '.join(unpaid)}. Pay there: runs wait, and one at a time tries again")
    spent = sorted(
        f"{vendor} ({mode})"
        for (mode, vendor), configured in vendors.items()
        if left_today(found[mode, vendor], configured.policy.limits, now) == 0
    )
    if spent:
        return warn(f"the quota is used up at {', '.join(spent)}; runs wait for its reset")
    return ok("every vendor that was asked answers, and has quota left")


def _gates(session: Session) -> dict[tuple[str, str], Gate]:
    found = read_gates(session)
    session.expunge_all()
    return found
