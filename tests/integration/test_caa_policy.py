"""B07: what a set of CAA records allows, whatever bytes it has."""

import pytest

from issuer.dns import DnsResolver
from issuer.ports import Finding, Verdict
from tests.integration.dns_server import dns_server
from tests.integration.pointing import NO, SECONDS, UNKNOWN, YES

NAME, CA, OTHER_CA = "customer.example", "ca.example", "other-ca.example"
ACCOUNT = "https://ca.example/7"
ALLOWED = Finding(YES, f"{NAME} allows {CA}")
OTHER_ONLY = Finding(NO, f"{NAME} allows only {OTHER_CA}")
NOBODY = Finding(NO, f"{NAME} forbids all CAs")


def caa(*records: str, issuers: tuple[str, ...] = (CA,), account_url: str = ACCOUNT, seconds: float = 3) -> Finding:
    with dns_server({(NAME, "CAA"): records}) as server:
        return DnsResolver(["edge.example"], [server.address], seconds=seconds).caa(NAME, issuers, account_url)


def issue(value: str) -> Finding:
    return caa(f'0 issue "{value}"')


# Who


@pytest.mark.parametrize(
    "value", ["ca.example", "CA.Example", "ca.example.", " \t ca.example \t", "ca.example;", "ca.example ; \t"]
)
def test_b07_our_ca_is_known_in_any_case_with_dots_and_blanks(value: str) -> None:
    assert issue(value) == ALLOWED


@pytest.mark.parametrize("issuers", [(CA,), ("CA.example.",), ("second.example", " ca.EXAMPLE ")])
def test_b07_each_name_of_the_ca_counts_in_any_case(issuers: tuple[str, ...]) -> None:
    assert caa(f'0 issue "{CA}"', issuers=issuers) == ALLOWED


@pytest.mark.parametrize(
    "value", [OTHER_CA, f"{OTHER_CA}; accounturi={ACCOUNT}", f"{OTHER_CA}; cansignhttpexchanges=yes"]
)
def test_b07_another_ca_alone_is_no(value: str) -> None:
    assert issue(value) == OTHER_ONLY


@pytest.mark.parametrize("value", ["sub.ca.example", "example", "xca.example", "ca.example.test"])
def test_b07_only_the_whole_domain_is_ours(value: str) -> None:
    assert issue(value) == Finding(NO, f"{NAME} allows only {value}")


@pytest.mark.parametrize("value", ["", ";", " ; ", "; policy=none"])
def test_b07_no_domain_forbids_all(value: str) -> None:
    assert issue(value) == NOBODY


def test_b07_one_record_that_allows_is_enough() -> None:
    records = [
        '0 issue ";"',
        f'0 issue "{OTHER_CA}"',
        f'0 issue "{CA}; accounturi=x"',
        f'0 ISSUE "{CA}"',
        '0 issue "?"',
    ]
    assert caa(*records) == ALLOWED


@pytest.mark.parametrize(
    "record", ['0 issuewild ";"', '128 issuewild "other.example"', '128 iodef "mailto:a@b.example"', '0 later "x"']
)
def test_b07_a_set_without_issue_allows_everyone(record: str) -> None:
    assert caa(record) == Finding(YES, f"{NAME} has CAA records, but none that restricts who may issue")
    assert caa(record, f'0 issue "{OTHER_CA}"') == OTHER_ONLY
    assert caa(record, f'0 issue "{CA}"') == ALLOWED


@pytest.mark.parametrize(
    "tag", ["issuemail", "issuevmc", "contactemail", "contactphone", "iodef", "issuewild", "IssueMail"]
)
def test_n13_a_tag_that_is_not_about_tls_is_no_verdict(tag: str) -> None:
    records = [f'{flags} {tag} "{value}"' for flags in (0, 1, 127, 128, 129, 255) for value in (";", OTHER_CA)]
    assert caa(*records, f'0 issue "{CA}"') == ALLOWED
    assert caa(*records, f'0 issue "{OTHER_CA}"') == OTHER_ONLY
    assert caa(*records) == Finding(YES, f"{NAME} has CAA records, but none that restricts who may issue")


UNKNOWN_TAG = Finding(UNKNOWN, f"{NAME} has a critical CAA property that this service does not know: later")


@pytest.mark.parametrize(
    ("flags", "expected"),
    [(128, UNKNOWN_TAG), (129, UNKNOWN_TAG), (192, UNKNOWN_TAG), (255, UNKNOWN_TAG)]
    + [(flags, ALLOWED) for flags in (0, 1, 2, 64, 127)],
)
def test_n13_an_unknown_tag_is_unknown_if_bit_0_says_critical(flags: int, expected: Finding) -> None:
    assert caa(f'{flags} Later "x"', f'0 issue "{CA}"') == expected


@pytest.mark.parametrize("flags", [0, 128, 255])
def test_n13_an_unknown_tag_does_not_hide_that_another_record_forbids(flags: int) -> None:
    assert caa(f'{flags} later "x"', f'0 issue "{OTHER_CA}"') == OTHER_ONLY
    assert caa(f'{flags} later "x"', '0 issue ";"') == NOBODY


@pytest.mark.parametrize("flags", [0, 1, 64, 127, 128, 255])
def test_n13_issue_means_the_same_with_any_flags(flags: int) -> None:
    assert caa(f'{flags} issue "{CA}"') == ALLOWED
    assert caa(f'{flags} issue "{OTHER_CA}"') == OTHER_ONLY


# For which account, by which method


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (f"accounturi={ACCOUNT}", ALLOWED),
        (f" \taccounturi \t= \t{ACCOUNT} ", ALLOWED),
        ("validationmethods=http-01", ALLOWED),
        ("validationmethods=dns-01,http-01,ca-later", ALLOWED),
        (f"validationmethods=http-01 ; accounturi={ACCOUNT}", ALLOWED),
        ("later=x; a-b=c=d; empty=", ALLOWED),
        ("later=x; later=y", ALLOWED),
        (f"accounturi={ACCOUNT}1", Finding(NO, f"{NAME} allows only {CA} for another account")),
        (f"accounturi={ACCOUNT.upper()}", Finding(NO, f"{NAME} allows only {CA} for another account")),
        ("accounturi=", Finding(NO, f"{NAME} allows only {CA} for another account")),
        ("validationmethods=dns-01", Finding(NO, f"{NAME} allows only {CA} with methods other than http-01")),
        ("validationmethods=http-010", Finding(NO, f"{NAME} allows only {CA} with methods other than http-01")),
        (
            f"validationmethods=dns-01; accounturi={ACCOUNT}",
            Finding(NO, f"{NAME} allows only {CA} with methods other than http-01"),
        ),
    ],
)
def test_b07_parameters_narrow_what_is_allowed(parameters: str, expected: Finding) -> None:
    assert issue(f"{CA};{parameters}") == expected


def test_b07_an_account_that_is_demanded_while_there_is_none_is_unknown() -> None:
    finding = caa(f'0 issue "{CA}; accounturi={ACCOUNT}"', f'0 issue "{OTHER_CA}"', account_url="")
    words = f"allows only {CA} for one account or {OTHER_CA}, and our account at the CA is not known yet"
    assert finding == Finding(UNKNOWN, f"{NAME} {words}")


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (CA, YES),
        (f"{CA}; accounturi=", UNKNOWN),
        (f"{CA}; validationmethods=dns-01; accounturi={ACCOUNT}", NO),
        (f"{OTHER_CA}; accounturi={ACCOUNT}", NO),
    ],
)
def test_b07_without_an_account_only_a_record_that_could_be_for_ours_is_unknown(value: str, verdict: Verdict) -> None:
    assert caa(f'0 issue "{value}"', account_url="").verdict is verdict


@pytest.mark.parametrize(
    "value",
    [
        f"{CA}; nothing",
        f"{CA}; =x",
        f"{CA}; a_b=x",
        f"{CA}; -a=x",
        f"{CA}; a=b c",
        f"{CA}; validationmethods=http-01, dns-01",
        f"{CA}; validationmethods=",
        f"{CA}; validationmethods=http-01,",
        f"{CA}; validationmethods=http_01,http-01",
        f"{CA}; validationmethods=http-01; validationmethods=http-01",
        f"{CA}; accounturi={ACCOUNT}; accounturi={ACCOUNT}",
        f"{CA};;",
        f"{CA}; a=b;",
        f"{CA} {CA}",
        f"{CA}, {OTHER_CA}",
        f"{CA}..",
        f".{CA}",
        "ca_.example",
        "; nothing",
    ],
)
def test_b07_a_malformed_value_allows_nobody(value: str) -> None:
    assert issue(value) == Finding(NO, f"{NAME} forbids all CAs; its CAA value '{value}' cannot be read")
    assert caa(f'0 issue "{value}"', f'0 issue "{CA}"') == ALLOWED


# Foreign text


def test_b07_the_best_matches_come_first_and_at_most_three_are_shown() -> None:
    others = [f'0 issue "ca{n}.example"' for n in range(300)]
    finding = caa(*others, f'0 issue "{CA}; accounturi=x"')
    assert finding == Finding(NO, f"{NAME} allows only {CA} for another account or ca0.example or ca1.example or …")
    assert caa(*others, f'0 issue "{CA}"') == ALLOWED


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("\\255\\000\\010", r"'\xff\x00\n'"),
        ("\\195\\164.example", r"'\xc3\xa4.example'"),
        ("ca.example\\000", r"'ca.example\x00'"),
        ("ca.example\\010", r"'ca.example\n'"),
        ("\\027[31m", r"'\x1b[31m'"),
        ("\\255" * 255, "'" + r"\xff" * 19 + r"\xf" + "…"),
    ],
)
def test_b07_foreign_bytes_are_shown_escaped_and_cut(value: str, shown: str) -> None:
    assert issue(value) == Finding(NO, f"{NAME} forbids all CAs; its CAA value {shown} cannot be read")


def test_b07_long_text_is_cut() -> None:
    values = [f'0 issue "{letter * 250}.example"' for letter in "abcdef"]
    tags = caa(*(f'128 {letter * 250} "x"' for letter in "abcdef"))
    assert (tags.verdict, len(tags.summary) < 400) == (UNKNOWN, True)
    for records in (values, [f'0 issue "{"a=" * 20_000}"'], [f'0 issue "{"a-" * 20_000}"']):
        finding = caa(*records)
        assert finding.verdict is NO
        assert len(finding.summary) < 400


@pytest.mark.parametrize("record", ["\\# 8 00 03 2d2d2d 41 42 43", "\\# 2 00 00", "\\# 3 00 ff 41", "\\# 1 00"])
def test_b07_a_record_that_is_none_is_unknown(record: str) -> None:
    finding = caa(record, f'0 issue "{CA}"', seconds=SECONDS)
    assert finding.verdict is UNKNOWN
    assert finding.summary.startswith(f"DNS has no clear answer for {NAME} CAA (")
