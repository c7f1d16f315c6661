"""HAProxy's one transaction, which other programs may have open: a real HAProxy, and answers of other releases."""

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from issuer.config import Settings
from issuer.edge.sync import Folder, HAProxy, Sync, haproxy
from issuer.edge.sync.lists import Held
from issuer.keys import as_pem
from issuer.ports import Services
from issuer.sandbox import Sandbox
from tests.edge.records import Records
from tests.edge.runs import Run
from tests.edge.terminators import Terminator, short_folder
from tests.fakes import below

FOREIGN = "foreign.customer.example"
NAMES = below("ours.customer.example", 3)


@pytest.fixture(scope="module")
def terminator(edge_values: Settings, records: Records) -> Iterator[Terminator]:
    """A HAProxy with a certificate that is not ours beside those of the sync, which does not run."""
    with short_folder() as folder, Sandbox(folder) as sandbox:
        found = Terminator("haproxy", sandbox, edge_values, [1], 1, root=records.signing.root)
        for name in NAMES:
            records.install(name)
        Run(records.services, found.folder)
        found.start()
        yield found


@pytest.fixture
def at(terminator: Terminator) -> Path:
    return terminator.sandbox.folder / "haproxy.sock"


@pytest.fixture
def foreign(terminator: Terminator, at: Path, records: Records, services: Services) -> Iterator[Path]:
    """The file of another program, in use, with the next certificate for it."""
    file = terminator.sandbox.folder / "theirs" / "x.pem"
    commanded(at, f"new ssl cert {file}")
    commanded(at, f"set ssl cert {file} <<\n{bundle(records, services, FOREIGN)}")
    commanded(at, f"commit ssl cert {file}")
    commanded(at, f"add ssl crt-list {terminator.folder}/crt-list.haproxy <<\n{file} {FOREIGN}\n")
    yield file
    commanded(at, f"abort ssl cert {file}")
    commanded(at, f"del ssl crt-list {terminator.folder}/crt-list.haproxy {file}")
    commanded(at, f"del ssl cert {file}")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy, "WAIT_SECONDS", 0.1)


def commanded(at: Path, command: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(at))
        connection.sendall(f"{command}\n".encode())
        return b"".join(iter(lambda: connection.recv(65_536), b"")).decode()


def bundle(records: Records, services: Services, name: str) -> str:
    """Another chain and key for a name, which leaves its record as it is."""
    certificate = records._certificate(name)
    return certificate.chain + as_pem(services.vault.decrypt(certificate.key))


def synced(terminator: Terminator, services: Services, at: Path) -> Run:
    return Run(services, terminator.folder, haproxy=at)


def open_transactions(at: Path) -> list[str]:
    return re.findall(r"^\*(.+)$", commanded(at, "show ssl cert"), re.MULTILINE)


@pytest.mark.parametrize("change", ["renewed", "new", "withdrawn"])
def test_n33_while_another_program_has_a_transaction_nothing_is_changed_and_it_is_reported(
    terminator: Terminator, records: Records, services: Services, at: Path, foreign: Path, change: str
) -> None:
    name = f"{change}.customer.example" if change == "new" else NAMES[0]
    if change != "new":
        records.install(name)
    assert synced(terminator, services, at).is_done
    theirs, before = terminator.serial(FOREIGN), terminator.serial(name)
    theirs_next = bundle(records, services, FOREIGN)
    commanded(at, f"set ssl cert {foreign} <<\n{theirs_next}")
    wanted = None if change == "withdrawn" else records.install(name)
    if change == "withdrawn":
        records.withdraw(name)
    for _ in range(2):
        run = synced(terminator, services, at)
        assert not run.is_done
        assert [line for line in run.output if f"the transaction on {foreign} is open" in line]
        assert open_transactions(at) == [str(foreign)], "theirs is as it was"
        assert terminator.serial(FOREIGN) == theirs
        assert terminator.serial(name) == (before if change != "withdrawn" else None), "it leaves the list at once"
    assert "Success!" in commanded(at, f"commit ssl cert {foreign}")
    assert terminator.serial(FOREIGN) not in {None, theirs, before, wanted}
    committed = terminator.serial(FOREIGN)
    assert synced(terminator, services, at).is_done
    assert (terminator.serial(FOREIGN), terminator.serial(name)) == (committed, wanted)
    records.install(NAMES[0])


def test_n33_the_transaction_of_another_program_is_waited_for(
    terminator: Terminator, records: Records, services: Services, at: Path, foreign: Path, monkeypatch
) -> None:
    monkeypatch.setattr(haproxy, "WAIT_SECONDS", 10.0)
    commanded(at, f"set ssl cert {foreign} <<\n{bundle(records, services, FOREIGN)}")
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            assert "Success!" in commanded(at, f"commit ssl cert {foreign}")

    monkeypatch.setattr(haproxy.time, "sleep", sleep)
    serial = records.install(NAMES[1])
    assert synced(terminator, services, at).is_done
    assert (terminator.serial(NAMES[1]), len(looks)) == (serial, 3)


@pytest.mark.parametrize("left_on", ["withdrawn", "renewed", "neighbour", "placeholder"])
def test_n40_what_an_earlier_command_of_ours_has_left_is_aborted(
    terminator: Terminator, records: Records, services: Services, at: Path, left_on: str
) -> None:
    name, neighbour = NAMES[2], NAMES[1]
    records.install(name)
    with Folder(terminator.folder) as folder:
        running = {"say": print, "stop": threading.Event(), "haproxy": HAProxy(at, terminator.folder)}
        sync = Sync(services, folder, **running)
        assert sync.once()
        wanted = left_open(terminator, records, services, at, left_on)
        serial = records.install(neighbour)
        assert (sync.once(), open_transactions(at)) == (True, [])
    assert terminator.serial(neighbour) == serial
    assert terminator.serial(name) == wanted
    assert terminator.shows_placeholder("unknown.example")


def left_open(terminator: Terminator, records: Records, services: Services, at: Path, left_on: str) -> str | None:
    """What an answer that came too late leaves. Returns the serial number that is to be served for the last name."""
    name, neighbour = NAMES[2], NAMES[1]
    file = {"neighbour": f"{neighbour}.pem", "placeholder": "neutral.pem"}.get(left_on, f"{name}.pem")
    left = bundle(records, services, name)
    assert "Transaction created" in commanded(at, f"set ssl cert {terminator.folder}/{file} <<\n{left}")
    if left_on == "withdrawn":
        records.withdraw(name)
        return None
    return records.install(name) if left_on == "renewed" else terminator.serial(name)


@pytest.mark.parametrize("times", [1, 2, 4])
def test_n33_a_name_that_is_listed_several_times_can_be_withdrawn(
    terminator: Terminator, records: Records, services: Services, at: Path, times: int
) -> None:
    name = f"listed-{times}.customer.example"
    records.install(name)
    assert synced(terminator, services, at).is_done
    crt_list, file = terminator.folder / "crt-list.haproxy", terminator.folder / f"{name}.pem"
    for _ in range(times - 1):
        assert "Success!" in commanded(at, f"add ssl crt-list {crt_list} <<\n{file} {name}\n")
    records.withdraw(name)
    run = synced(terminator, services, at)
    assert run.is_done, run.output
    assert str(file) not in commanded(at, f"show ssl crt-list {crt_list}") + commanded(at, "show ssl cert")
    assert terminator.serial(name) is None


@pytest.mark.parametrize("text", ["\n", "  \n", "# a comment\n" * 2000, "\n\n\n# and more\n\n"])
def test_n33_empty_lines_and_comments_in_a_file_do_no_harm(
    terminator: Terminator, records: Records, services: Services, at: Path, text: str
) -> None:
    serial = records.install(NAMES[0])
    Run(services, terminator.folder)
    file = terminator.folder / f"{NAMES[0]}.pem"
    head, body = file.read_text().split("\n", 1)
    padded = body.replace("-----BEGIN", f"{text}-----BEGIN")
    (terminator.folder / file.readlink()).write_text(f"{head}\n{padded}")
    assert synced(terminator, services, at).is_done
    assert terminator.serial(NAMES[0]) == serial


def test_n33_a_file_that_is_too_long_is_reported_by_name_and_stops_no_other(
    terminator: Terminator, records: Records, services: Services, at: Path
) -> None:
    before = terminator.serial(NAMES[0])
    records.install(NAMES[0])
    serial = records.install(NAMES[1])
    Run(services, terminator.folder)
    file = terminator.folder / f"{NAMES[0]}.pem"
    (terminator.folder / file.readlink()).write_text(file.read_text() + "x" * 70 + "\n" + f"{'y' * 70}\n" * 300)
    run = synced(terminator, services, at)
    reported = [line for line in run.output if line.startswith(f"{NAMES[0]}: HAProxy: ")]
    assert (len(reported), run.is_done, open_transactions(at)) == (1, False, []), run.output
    assert "tune.bufsize" in reported[0]
    assert (terminator.serial(NAMES[0]), terminator.serial(NAMES[1])) == (before, serial)
    records.install(NAMES[0])
    assert synced(terminator, services, at).is_done


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_n33_what_another_program_puts_into_our_transaction_does_not_stay(
    terminator: Terminator, records: Records, services: Services, at: Path, foreign: Path, monkeypatch, calls: int
) -> None:
    """HAProxy 2.6 takes its `set` for ours if it comes between our `set` and our `commit`; 2.8 refuses it."""
    left, do = [f"set ssl cert {foreign} <<\n{bundle(records, services, FOREIGN)}"] * calls, HAProxy._do

    def interfered(self: HAProxy, command: str, success: str) -> None:
        if command.startswith("commit") and left:
            assert commanded(at, left.pop())
        do(self, command, success)

    with Folder(terminator.folder) as folder:
        running = {"say": print, "stop": threading.Event(), "haproxy": HAProxy(at, terminator.folder)}
        sync = Sync(services, folder, **running)
        assert sync.once()
        monkeypatch.setattr(HAProxy, "_do", interfered)
        serial = records.install(NAMES[0])
        assert [sync.once() for _ in range(calls + 1)][-1]
    assert (terminator.serial(NAMES[0]), open_transactions(at)) == (serial, [])


class Answers(HAProxy):
    """A HAProxy that gives scripted answers to `set`, and records all commands."""

    def __init__(self, folder: Path, answer: str) -> None:
        super().__init__(folder / "none", folder)
        self.answer, self.commands, self.serial = answer, [], "01"

    def _ask(self, command: str, *, until: bytes = b"") -> str:
        self.commands.append(command.partition(" <<")[0])
        if command.startswith("set ssl cert"):
            return self.answer
        if command.startswith("show info"):
            return "Pid: 1\n"
        if command.startswith("show ssl crt-list"):
            return f"{self._crt_list}\n"
        if command.startswith("show ssl cert "):
            return f"Filename: {command.rsplit(maxsplit=1)[-1]}\nStatus: Used\nSerial: {self.serial}\n"
        if command.startswith("commit"):
            self.serial = "0F"
            return "Success!"
        return ""


REFUSALS = [
    ("", "tune.bufsize"),
    ("The command is too big for the buffer size. Please change tune.bufsize\n", "tune.bufsize"),
    ("The ongoing transaction is about '/x.pem' but you are trying to set '{file}'\nCan't update", "/x.pem"),
    ("inconsistencies between private key and certificate loaded '{file}'.\nCan't update {file}!\n", "inconsistencies"),
    ("Transaction updated for certificate {file}!\n\nUnknown command: '-----BEGIN'\n", "Transaction updated"),
    ("Transaction updated for certificate /x.pem!\n\n", "/x.pem"),
    ("Transaction updated for certificate {file}.pem!\n\n", "another program"),
]


@pytest.mark.parametrize(("answer", "words"), REFUSALS, ids=range(len(REFUSALS)))
def test_n33_only_a_yes_for_our_own_file_is_committed(tmp_path: Path, answer: str, words: str) -> None:
    file = tmp_path / "name.example.pem"
    file.write_text("chain and key\n")
    fake = Answers(tmp_path, answer.format(file=file))
    held = {"name.example": Held("1", "0f", None, "valid", "file")}
    errors = fake.settle(held, None)
    assert len(errors) == 1
    assert errors[0].startswith("name.example: HAProxy: ")
    assert words in errors[0]
    assert not [command for command in fake.commands if command.startswith("commit")]
    fake.answer = f"Transaction created for certificate {file}!\n\n"
    assert fake.settle(held, None) == []
    assert f"commit ssl cert {file}" in fake.commands
