"""What `issuer edge sync` writes, keeps and removes, on a real Redis."""

import grp
from dataclasses import replace
from pathlib import Path

import pytest

from issuer.domain import Hsts
from issuer.edge import sync
from issuer.edge.sync import Refused
from issuer.keys import PLACEHOLDER_NAME, Vault, new_encryption_key, verify_bundle
from issuer.ports import Services
from tests.edge.records import Records
from tests.edge.runs import Run
from tests.edge.sync.directory import NAME, OTHER, THIRD, marks, mode, names, read
from tests.edge.terminators import GROUP
from tests.fakes import with_settings


def test_chain_and_key_in_one_and_the_lists(records: Records, services: Services, path: Path, run) -> None:
    serial = records.install(NAME)
    assert any(line.startswith(f"{NAME}: certificate {serial} until 20") for line in run().output)
    certificate = services.store.load(NAME).domain.certificate
    text = (path / f"{NAME}.pem").read_text()
    assert certificate.chain in text
    assert text.count("-----BEGIN PRIVATE KEY-----") == 1
    lists = read(path)
    assert marks(path) == {NAME: "5184000"}
    assert lists["hsts.haproxy"] == "default max-age=5184000\n"
    assert lists["names.haproxy"] == f"{NAME} valid\n"
    assert lists["crt-list.haproxy"] == f"{path}/{NAME}.pem {NAME} {NAME}.\n"


def test_h03_policies_are_in_the_file_names_and_those_that_differ_from_the_default_in_haproxys_list(
    records: Records, path: Path, run
) -> None:
    for name, policy in ((NAME, Hsts(60, includes_subdomains=True)), (OTHER, Hsts(0)), (THIRD, Hsts(5_184_000))):
        records.install(name)
        records.policy(name, policy)
    run()
    assert marks(path) == {NAME: "60s", OTHER: "valid", THIRD: "5184000"}
    assert (path / "hsts.haproxy").read_text() == (
        f"default max-age=5184000\n{NAME} max-age=60; includeSubDomains\n{OTHER} none\n"
    )
    records.policy(NAME, Hsts(60, includes_subdomains=True, is_preload=True))
    records.policy(OTHER, Hsts(0, off_until=1e11))
    records.policy(THIRD, None)
    run()
    assert marks(path) == {NAME: "60sp", OTHER: "0", THIRD: "5184000"}
    records.withdraw(OTHER)
    run()
    assert marks(path) == {NAME: "60sp", THIRD: "5184000"}


def test_a_new_default_policy_applies_to_all_names(records: Records, services: Services, path: Path, run) -> None:
    for name, policy in ((NAME, None), (OTHER, Hsts(60)), (THIRD, Hsts(5_184_000))):
        records.install(name)
        records.policy(name, policy)
    run()
    assert Run(with_settings(services, hsts_max_age_seconds=60), path).is_done
    assert marks(path) == {NAME: "60", OTHER: "60", THIRD: "5184000"}
    assert (path / "hsts.haproxy").read_text() == f"default max-age=60\n{THIRD} max-age=5184000\n"
    assert Run(with_settings(services, hsts_max_age_seconds=0), path).is_done
    assert marks(path) == {NAME: "valid", OTHER: "60", THIRD: "5184000"}


def test_d01_an_expired_certificate_is_marked(records: Records, services: Services, path: Path, run) -> None:
    for name in (NAME, OTHER):
        records.install(name)
    run()
    ended = replace(services.store.load(NAME).domain.certificate, not_after=1.0)
    records.change(NAME, certificate=ended, is_expiry_reported=True)
    run()
    assert marks(path) == {NAME: "ended", OTHER: "5184000"}
    assert (path / "names.haproxy").read_text() == f"{NAME} ended\n{OTHER} valid\n"
    assert (path / "hsts.haproxy").read_text() == f"default max-age=5184000\n{NAME} none\n"


@pytest.mark.parametrize(
    "harm", [lambda _: None, Path.unlink, lambda one: one.write_text("x"), lambda one: one.chmod(0o644)]
)
def test_d01_there_is_a_placeholder_certificate(records: Records, path: Path, run, harm) -> None:
    run()
    before = (path / "neutral.pem").read_text()
    harm(path / "neutral.pem")
    was_valid = (path / "neutral.pem").exists() and mode(path / "neutral.pem") == 0o600
    was_valid = was_valid and (path / "neutral.pem").read_text() == before
    run()
    after = (path / "neutral.pem").read_text()
    verify_bundle(after, PLACEHOLDER_NAME)
    assert (mode(path / "neutral.pem"), after == before) == (0o600, was_valid)


def test_a_withdrawn_name_is_removed_also_when_all_files_are_written_again(
    records: Records, services: Services, path: Path, run
) -> None:
    for name in (NAME, OTHER):
        records.install(name)
    run()
    records.withdraw(NAME)
    assert Run(with_settings(services, hsts_max_age_seconds=60), path).is_done
    assert names(path) == {OTHER}


def test_what_is_there_is_not_written_again(records: Records, path: Path, run) -> None:
    for name in (NAME, OTHER):
        records.install(name)
    run()
    before = {one: one.stat(follow_symlinks=False).st_ino for one in path.iterdir()}
    assert run().output == []
    (path / "state.json").unlink()
    assert run().output == ["all 2 names checked, 2 have a certificate"]
    after = {one: one.stat(follow_symlinks=False).st_ino for one in path.iterdir()}
    assert [one.name for one in before if before[one] != after[one]] in ([], ["state.json"])


def test_withdrawn_and_deleted_names_are_removed_and_files_of_others_stay(
    records: Records, services: Services, path: Path, run
) -> None:
    for name in (NAME, OTHER, THIRD):
        records.install(name)
    run()
    foreign = [path / "own.pem", path / "notes.txt", path / "versions" / "own.pem", path / "link.pem"]
    for one in foreign[:3]:
        one.write_text("mine")
    foreign[3].symlink_to("own.pem")
    records.withdraw(NAME)
    assert run().output == [f"{NAME}: withdrawn"]
    records.withdraw(OTHER)
    services.store._redis.delete(f"issuer:domain:{OTHER}")
    assert run().output == [f"{OTHER}: withdrawn"], "the feed has its tombstone"
    assert names(path) == {THIRD, "link"}
    assert len(list((path / "versions").iterdir())) == 2
    assert all(one.read_text() == "mine" for one in foreign)


def test_a_foreign_file_in_the_place_of_a_name_is_reported_and_not_replaced(
    records: Records, services: Services, path: Path, run
) -> None:
    run()
    (path / f"{NAME}.pem").write_text("mine")
    for name in (NAME, OTHER):
        records.install(name)
    failed = Run(services, path)
    assert (failed.is_done, (path / f"{NAME}.pem").read_text(), names(path)) == (False, "mine", {OTHER})
    assert any("was not written by `issuer edge sync`" in line for line in failed.output)
    (path / f"{NAME}.pem").unlink()
    run()
    assert names(path) == {NAME, OTHER}


def test_after_a_gap_in_the_feed_all_names_are_read(records: Records, services: Services, path: Path, run) -> None:
    records.install(NAME)
    run()
    for name in (NAME, OTHER, THIRD):
        records.install(name)
    services.store._redis.xtrim("issuer:changes", maxlen=1, approximate=False)
    output = run().output
    assert output[0] == "the change feed no longer contains the last position, so all names are read again"
    assert names(path) == {NAME, OTHER, THIRD}
    assert services.store.load(NAME).domain.certificate.chain in (path / f"{NAME}.pem").read_text()


def test_an_empty_store_removes_no_files(records: Records, services: Services, path: Path, run) -> None:
    records.install(NAME)
    run()
    services.store._redis.flushall()
    failed = Run(services, path)
    assert (failed.is_done, names(path)) == (False, {NAME})
    assert any("the store is empty" in line for line in failed.output)


@pytest.mark.parametrize("change", ["key", "chain", "key of another kind", "no chain", "name"])
def test_f01_an_invalid_record_is_reported_and_affects_no_other_name(
    records: Records, services: Services, path: Path, run, change: str
) -> None:
    records.install(NAME)
    run()
    before = (path / f"{NAME}.pem").read_text()
    records.install(OTHER)
    other = services.store.load(OTHER).domain.certificate
    wrong = {
        "key": {"key": Vault([new_encryption_key()]).encrypt(b"key")},
        "chain": {"chain": other.chain},
        "key of another kind": {"key": services.vault.encrypt(b"no key")},
        "no chain": {"chain": "none"},
        "name": {"chain": other.chain, "key": other.key},
    }
    records.install(NAME, **wrong[change])
    records.install(THIRD)
    failed = Run(services, path)
    assert (failed.is_done, names(path)) == (False, {NAME, OTHER, THIRD})
    assert (path / f"{NAME}.pem").read_text() == before
    reported = [line for line in failed.output if line.startswith(f"{NAME}: ")]
    assert len(reported) == 1
    assert "PRIVATE" not in reported[0]
    assert not Run(services, path).is_done
    records.install(NAME)
    run()
    assert services.store.load(NAME).domain.certificate.chain in (path / f"{NAME}.pem").read_text()


def test_f03_a_key_that_can_be_decrypted_again_is_written_by_the_next_run(
    records: Records, services: Services, path: Path, run
) -> None:
    records.install(NAME)
    assert not Run(replace(services, vault=Vault([new_encryption_key()])), path).is_done
    assert names(path) == set()
    run()
    assert names(path) == {NAME}


def test_f05_only_the_owner_may_read(records: Records, path: Path, run) -> None:
    records.install(NAME)
    run()
    assert [mode(one) for one in (path, path / "versions")] == [0o700, 0o700]
    assert {mode(one) for one in path.rglob("*") if one.is_file()} == {0o600}


def test_f05_or_a_group_as_well(records: Records, path: Path, run) -> None:
    gid = grp.getgrnam(GROUP).gr_gid
    records.install(NAME)
    for group, allowed in ((None, 0o600), (gid, 0o640), (None, 0o600)):
        run(gid=group)
        files = [path / f"{NAME}.pem", path / "neutral.pem", *path.glob("*.haproxy")]
        assert [mode(one) for one in files] == [allowed] * 5
        if group is not None:
            assert {one.stat().st_gid for one in [path, *files]} == {gid}
            assert mode(path) == 0o750


@pytest.mark.parametrize("bits", [0o755, 0o701, 0o704, 0o770])
def test_f05_a_directory_that_is_open_to_others_is_refused(records: Records, path: Path, run, bits: int) -> None:
    records.install(NAME)
    path.mkdir()
    path.chmod(bits)
    with pytest.raises(Refused, match=f"{bits:04o}.*chmod 0750"):
        run()
    assert names(path) == set()
    path.chmod(0o700)
    run()
    assert names(path) == {NAME}


@pytest.mark.parametrize("harm", ["loosened", "emptied", "removed"])
def test_f05_a_changed_file_is_written_again(records: Records, path: Path, run, harm: str) -> None:
    records.install(NAME)
    run()
    before = (path / f"{NAME}.pem").read_text().partition("\n")[2]
    file = (path / f"{NAME}.pem").resolve()
    {"loosened": lambda: file.chmod(0o644), "emptied": lambda: file.write_text(""), "removed": file.unlink}[harm]()
    run()
    assert (path / f"{NAME}.pem").read_text().partition("\n")[2] == before
    assert mode(path / f"{NAME}.pem") == 0o600


def test_only_one_sync_may_run_in_a_directory_but_several_directories_are_allowed(
    records: Records, services: Services, tmp_path: Path
) -> None:
    records.install(NAME)
    with sync.Folder(tmp_path / "a"):
        with pytest.raises(Refused, match="another `issuer edge sync`"):
            Run(services, tmp_path / "a")
        assert Run(services, tmp_path / "b").is_done
    assert Run(services, tmp_path / "a").is_done
    assert names(tmp_path / "a") == names(tmp_path / "b") == {NAME}
