"""The collector of cyclic garbage, set for a process that serves for long."""

import gc

_MANY = 10_000


def settle_collector() -> None:
    """Leave what is loaded by now out of all further rounds, and let more come together before each.

    What a process has imported is a hundred thousand objects, of which none ever goes. To look at them again and again
    took a quarter of all its time under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_MANY)
