"""Plants faults, one after the other on a fleet, and several fleets at once."""

import os
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock

from tests.planted.faults import Fault
from tests.planted.fleet import Fleet, fleet
from tests.planted.texts import told_text
from tests.planted.told import Told, look_until_told, look_whether_it_goes_on

LANES = 3
"""So many fleets run at once: each is some ten processes."""
LIVE: list[Fleet] = []


def planted(on: Fleet, fault: Fault, without: Collection[str] = ()) -> Told:
    """Plant a fault, look whether it is told, lift it, and look whether the name goes on. without: columns."""
    told = Told()
    on.mark_logs()
    try:
        name = fault.plant(on)
        look_until_told(on, fault, name, told, without)
        told.text = told_text(on, told, fault)
        fault.lift(on)
        if "end" not in without:
            look_whether_it_goes_on(on, fault, name, told)
    except Exception as error:  # noqa: BLE001 - a row that cannot be planted is one that fails
        told.columns["status"] = _failure(error)
    return told


def _failure(error: Exception) -> str:
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {error}"[:600]


@contextmanager
def running(folder: Path, fault: Fault) -> Iterator[Fleet]:
    """A fleet as a fault needs it."""
    with fleet(folder, is_tls=fault.is_tls, **fault.settings) as made:
        LIVE.append(made)
        if fault.processes:
            made.start(*fault.processes)
        yield made
    LIVE.remove(made)


def end_at_once(number: int, _: object) -> None:
    """Handle Ctrl-C and SIGTERM: leave nothing running."""
    for one in LIVE:
        for part in [*one.sandbox._parts, *one.brokers._parts]:
            part.kill()
    os._exit(128 + number)


def run_all(faults: Sequence[Fault], folder: Path, say: Callable[[Fault, Told], None]) -> dict[str, Told]:
    """Plant each of the faults. Those that need a fleet of their own are first, as they take long. say: called after
    each of them."""
    found: dict[str, Told] = {}
    waiting: SimpleQueue[list[Fault]] = SimpleQueue()
    own = sorted((fault for fault in faults if not fault.is_calm), key=lambda fault: -fault.patience)
    calm = [fault for fault in faults if fault.is_calm]
    for group in [*([fault] for fault in own), *(calm[lane::LANES] for lane in range(LANES))]:
        waiting.put(group)
    lock = Lock()

    def note(fault: Fault, told: Told) -> None:
        with lock:
            found[fault.id] = told
            say(fault, told)

    def lane(number: int) -> None:
        while True:
            try:
                group = waiting.get_nowait()
            except Empty:
                return
            if group:
                _run_group(group, folder / f"lane{number}-{group[0].id}", note)

    with ThreadPoolExecutor(LANES) as pool:
        list(pool.map(lane, range(LANES)))
    return found


def _run_group(group: list[Fault], folder: Path, note: Callable[[Fault, Told], None]) -> None:
    """One fleet after the other: a new one after a fault whose name did not go on, as it may still show."""
    stack, shared = ExitStack(), None
    with stack:
        for fault in group:
            try:
                shared = shared or stack.enter_context(running(folder / fault.id, fault))
                told = planted(shared, fault)
            except Exception as error:  # noqa: BLE001 - as a fleet that does not start
                told = Told(columns={"status": _failure(error)})
            note(fault, told)
            if told.columns.get("end") or told.columns.get("status"):
                stack.close()
                shared = None
