"""CPU time and memory of processes, as Linux accounts for them. Elsewhere there are none to be had, and none told."""

import os
from collections.abc import Iterable
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL

_PROC = Path("/proc")
_TICKS_MS = 1000 / os.sysconf("SC_CLK_TCK")
_BACKENDS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() OR datname IS NULL"


def cpu_ms(process_id: int) -> float | None:
    """Return the milliseconds that the process has used so far; `None` where that cannot be known."""
    try:
        stat = (_PROC / str(process_id) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name in parentheses may hold anything
    return (int(fields[11]) + int(fields[12])) * _TICKS_MS


def resident_mib(process_id: int) -> float | None:
    """Return the MiB of memory that the process holds now; `None` where that cannot be known."""
    try:
        status = (_PROC / str(process_id) / "status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    sizes = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(sizes[0]) / 1024 if sizes else None


def database_cpu_ms(url: URL) -> float | None:
    """Return what the server's processes for this database used so far, if the server is on this machine."""
    with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
        own = connection.info.backend_pid
        rows = connection.execute(_BACKENDS).fetchall()
    return _sum(cpu_ms(process_id) for (process_id,) in rows if process_id != own and _is_postgres(process_id))


def _is_postgres(process_id: int) -> bool:
    """Return True if the process runs here and is the server's: on another machine the number means another one."""
    try:
        return (_PROC / str(process_id) / "comm").read_text(encoding="utf-8").startswith("postgres")
    except OSError:
        return False


def _sum(found: Iterable[float | None]) -> float | None:
    known = [each for each in found if each is not None]
    return sum(known) if known else None
