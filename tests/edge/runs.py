"""One run of the sync, in this process or in a separate one that is killed at any point."""

import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path

from issuer.config import Settings, load_settings
from issuer.edge.sync import Folder, HAProxy, Reload, Sync
from issuer.ports import Services
from issuer.wiring import build_services

WRITES = {"open", "os.rename", "os.remove", "os.symlink", "os.chmod", "os.chown", "os.mkdir", "socket.connect"}


class Run:
    """One run of `--once`. output: the printed lines. is_done: nothing failed."""

    def __init__(
        self,
        services: Services,
        path: Path,
        *,
        gid: int | None = None,
        reload: str | None = None,
        haproxy: Path | None = None,
    ) -> None:
        self.output: list[str] = []
        with Folder(path, gid) as folder:
            sync = Sync(
                services,
                folder,
                say=self.output.append,
                stop=threading.Event(),
                haproxy=HAProxy(haproxy, path) if haproxy else None,
                reload=Reload(reload) if reload else None,
            )
            self.is_done = sync.once()


def killed_at(count: int, settings: Settings, path: Path, haproxy: Path | None = None) -> bool:
    """Run it in another process, with umask 0, that is killed before its write number `count`, to the directory or to
    HAProxy. True if it was killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.edge.runs"])
    process = context.Process(target=_run_until, args=(count, settings.as_environment(), path, haproxy))
    process.start()
    process.join(30)
    assert process.exitcode in {0, -signal.SIGKILL}
    return process.exitcode != 0


def _run_until(count: int, environment: dict[str, str], path: Path, haproxy: Path | None) -> None:
    writes_left = count
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def count_write(event: str, args: tuple) -> None:
        nonlocal writes_left
        if event not in WRITES:
            return
        if event == "open" and (isinstance(args[0], int) or not args[2] & writes):
            return
        if event == "socket.connect" and args[1] != str(haproxy):
            return
        writes_left -= 1
        if writes_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    os.environ.update(environment)
    services = build_services(load_settings())
    os.umask(0)
    sys.addaudithook(count_write)
    run = Run(services, path, haproxy=haproxy)
    writes_left = 0
    assert run.is_done, run.output
