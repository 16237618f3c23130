"""A MariaDB from the system's packages, set up in the way that is hardest to write to without losing anything."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sessions import Guard
from sqlalchemy.engine import URL

HARD = {
    "character-set-server": "latin1",
    "default-storage-engine": "MyISAM",
    "default-time-zone": "+13:00",
    "max-allowed-packet": "1M",
    "sql-mode": "",
}
QUICK = {
    "innodb-buffer-pool-size": "32M",
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-log-file-size": "16M",
    "performance-schema": "OFF",
}
USER = "CREATE USER writer@'%' IDENTIFIED BY 'pass/word'; GRANT ALL ON *.* TO writer@'%' WITH GRANT OPTION;"


@contextmanager
def running_mariadb(**options: str) -> Iterator[URL]:
    """Run MariaDB in its own folder, on a free port, and return the URL of its server. It ends with this process."""
    with tempfile.TemporaryDirectory(prefix="openrouter-mariadb-") as folder, closing(Guard()) as guard:
        log = Path(folder, "log")
        users = Path(folder, "users.sql")
        users.write_text(USER)
        common = ["--no-defaults", f"--datadir={folder}/data"]
        if not os.getuid():
            shutil.chown(folder, "mysql")
            common.append("--user=mysql")
        with log.open("w") as output:
            install = ["mariadb-install-db", *common, "--skip-test-db", "--skip-name-resolve"]
            subprocess.run(install, check=True, stdout=output, stderr=output)
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            places = {
                "bind-address": "127.0.0.1",
                "init-file": str(users),
                "port": str(port),
                "socket": f"{folder}/socket",
            }
            program = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin") or "mariadbd"
            arguments = (f"--{name}={value}" for name, value in (HARD | QUICK | places | options).items())
            process = subprocess.Popen(
                [program, *common, *arguments], stdout=output, stderr=output, start_new_session=True
            )
        guard.watch(process.pid)
        try:
            _await(process, port, log)
            yield URL.create(
                "mysql+mysqldb", "writer", "pass/word", "127.0.0.1", port, query={"charset": "utf8mb4"}
            )
        finally:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"MariaDB did not start: {log.read_text()[-2000:]}")
