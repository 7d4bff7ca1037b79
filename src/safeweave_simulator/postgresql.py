"""A PostgreSQL server of one's own, to work on and to fail: started, killed, copied to a replica, promoted.

    python -m safeweave_simulator.postgresql FOLDER [--without-fsync] [--while PID]

runs one in the foreground, prints its address, and stops it and removes the folder when the process PID has gone;
with --check instead of a folder it only fails, and says what to install, if there is no PostgreSQL here.
"""

import argparse
import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safeweave.ports import free_port

OLDEST = 15
_PLACES = (
    "/usr/lib/postgresql/*/bin",  # Debian
    "/usr/pgsql-*/bin",  # Red Hat
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)
MISSING = (
    f"PostgreSQL {OLDEST} or later is needed here and was not found: install it (Debian: apt-get install postgresql;"
    " macOS: brew install postgresql), or put its initdb and postgres on the PATH"
)


class NotInstalled(Exception):
    """There is no PostgreSQL on this machine."""

    def __init__(self) -> None:
        super().__init__(MISSING)


def programs() -> Path:
    """The folder of initdb, postgres and pg_basebackup, of the newest version here. Raises NotInstalled."""
    found: dict[int, Path] = {}
    for folder in _folders():
        if all((folder / name).is_file() for name in ("initdb", "postgres", "pg_basebackup")):
            said = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True).stdout
            version = re.search(r"(\d+)", said)
            if version:
                found.setdefault(int(version[1]), folder)
    if not found or max(found) < OLDEST:
        raise NotInstalled
    return found[max(found)]


def _folders() -> Iterator[Path]:
    for name in ("initdb", "postgres"):
        if on_path := shutil.which(name):
            yield Path(on_path).resolve().parent
    if config := shutil.which("pg_config"):
        yield Path(subprocess.run([config, "--bindir"], capture_output=True, text=True).stdout.strip())
    for place in _PLACES:
        root, _, pattern = place.partition("*")
        base = Path(root) if root.endswith("/") else Path(root).parent
        yield from sorted(base.glob(f"{Path(root).name if not root.endswith('/') else ''}*{pattern}"), reverse=True)


class Server:
    """One server with its data in a folder; reached by a socket there and by a port of the loopback address."""

    def __init__(self, folder: Path, port: int = 0, settings: Mapping[str, str] | None = None) -> None:
        """A new server, not yet started, in an empty or missing folder; the folders above must be open to others."""
        self.folder, self.port = folder, port or free_port()
        self.settings = dict(settings or {})
        self.password = secrets.token_urlsafe(12)
        self._process: subprocess.Popen[bytes] | None = None
        self._programs = programs()
        self._user = _whom_to_be()

    @classmethod
    def temporary(cls, settings: Mapping[str, str] | None = None) -> "Server":
        """A new server in a temporary folder, which `remove` takes away."""
        folder = Path(tempfile.mkdtemp(prefix="safeweave-pg-"))
        folder.chmod(0o755)
        return cls(folder, settings=settings)

    @property
    def data(self) -> Path:
        """Where its files lie."""
        return self.folder / "data"

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended since."""
        return self._process is not None and self._process.poll() is None

    def url(self, database: str = "postgres", over_network: bool = False) -> str:
        """The address of one of its databases, by its socket or over the loopback network."""
        at = f"127.0.0.1:{self.port}" if over_network else ""
        tail = "" if over_network else f"?host={self.folder}&port={self.port}"
        return f"postgresql://postgres:{self.password}@{at}/{database}{tail}"

    def start(self) -> "Server":
        """Start it, making its files first if there are none; back when it answers."""
        if not (self.data / "PG_VERSION").exists():
            self._make()
        given = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
            "shared_buffers": "128MB",
            "max_locks_per_transaction": "256",
            **self.settings,
        }
        options = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        deadline = time.monotonic() + 60
        while True:
            with (self.folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [self._programs / "postgres", "-D", self.data, *options],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self._as_user(),
                )  # fmt: skip
            if self._answers(deadline):
                return self
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL does not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.1)  # the processes of one that was killed may not all be gone yet

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT ends sessions and writes everything down, SIGQUIT leaves that to the next start."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def kill(self) -> None:
        """End it as a power failure would, with all its sessions."""
        if self._process is not None:
            pid = self._process.pid
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)  # it starts no others meanwhile
            for each in (*_children_of(pid), pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop and start it."""
        self.stop(how)
        self.start()

    def remove(self) -> None:
        """Stop it and take its files away."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, sql: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """The rows of a statement, as the superuser."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def replica(self, folder: Path, synchronous: bool = True, port: int = 0) -> "Server":
        """A started replica; if synchronous, nothing is acknowledged from now on before it stands there too."""
        other = Server(folder, port, settings=self.settings)
        other.password = self.password
        other._prepare_folder()
        subprocess.run(
            [self._programs / "pg_basebackup", "-D", other.data, "-d", self.url(), "-R", "-X", "stream", "-c", "fast"],
            check=True, capture_output=True, **other._as_user(),
        )  # fmt: skip
        other.start()
        if synchronous:
            self.run("alter system set synchronous_standby_names = '*'")
            self.run("select pg_reload_conf()")
            while self.run("select count(*) from pg_stat_replication where sync_state = 'sync'") != [(1,)]:
                time.sleep(0.05)
        return other

    def promote(self) -> None:
        """Make a replica a server that is written to; back when it is one."""
        self.run("select pg_promote(true)")
        self.run("alter system reset synchronous_standby_names")
        self.run("select pg_reload_conf()")

    # ------------------------------------------------------------ inside

    def _make(self) -> None:
        self._prepare_folder()
        secret = self.folder / "password"
        secret.write_text(self.password)
        self._give(secret)
        subprocess.run(
            [self._programs / "initdb", "-D", self.data, "-U", "postgres", "--auth=scram-sha-256", "--encoding=UTF8",
             "--locale=C", "--no-sync", "--no-instructions", f"--pwfile={secret}"],
            check=True, capture_output=True, **self._as_user(),
        )  # fmt: skip
        secret.unlink()

    def _prepare_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._give(self.folder)

    def _give(self, path: Path) -> None:
        if self._user is not None:
            os.chown(path, self._user.pw_uid, self._user.pw_gid)

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": (), "cwd": "/"}

    def _answers(self, deadline: float) -> bool:
        import psycopg

        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url(), connect_timeout=2).close()
                return True
            time.sleep(0.02)
        return False


def _children_of(parent: int) -> list[int]:
    """The processes that this one has started and that have not ended, where the system shows them.

    A server's are in groups of their own: left alone they work on until they notice that it has gone.
    """
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(stat.parent.name))
    return found


def _whom_to_be() -> pwd.struct_passwd | None:
    """Whom the server runs as: ourselves, but never the superuser, whom it refuses."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise NotInstalled


def main() -> None:
    """Run one server while another process lives."""
    asked = argparse.ArgumentParser(prog="python -m safeweave_simulator.postgresql")
    asked.add_argument("folder", type=Path, nargs="?")
    asked.add_argument("--check", action="store_true", help="only say whether PostgreSQL is here")
    asked.add_argument("--without-fsync", action="store_true", help="for tests: a power failure loses everything")
    asked.add_argument("--while", dest="pid", type=int, default=os.getppid(), help="the process it is for")
    given = asked.parse_args()
    if given.check:
        try:
            programs()
        except NotInstalled as missing:
            sys.exit(str(missing))
        return
    settings = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"} if given.without_fsync else {}
    server = Server(given.folder, settings=settings).start()
    print(server.url(), flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        while _lives(given.pid):
            time.sleep(0.5)
    finally:
        server.remove()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    main()
