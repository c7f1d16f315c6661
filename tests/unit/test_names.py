# ruff: noqa: RUF001 - full-width and look-alike letters are the point
import random
import time

import pytest

from issuer import names
from issuer.names import canonical, looks_crawled, registered_domain
from issuer.problem import Problem, ProblemType

MUENCHEN = "xn--mnchen-3ya.example"
LABEL_63 = "a" * 63
NAME_253 = ".".join([LABEL_63, "c" * 63, LABEL_63, "b" * 57, "com"])


def refused(text: str, **options: object) -> str:
    """The reason in lower case."""
    with pytest.raises(Problem) as caught:
        canonical(text, **options)
    assert caught.value.type is ProblemType.INVALID_NAME
    assert caught.value.hint
    assert caught.value.detail.isascii()
    assert caught.value.detail.isprintable()
    assert len(caught.value.detail) < 1200
    return caught.value.detail.lower()


@pytest.mark.parametrize(
    "typed",
    ["münchen.example", "MÜNCHEN.example", "xn--mnchen-3ya.example", "XN--MNCHEN-3YA.Example", "mu\u0308nchen.example"],
)
def test_a01_every_spelling_is_one_name(typed):
    assert canonical(typed, allow_reserved=True) == MUENCHEN


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("faß.de", "xn--fa-hia.de"),
        ("βόλος.com", "xn--nxasmm1c.com"),
        ("президент.рф", "xn--d1abbgf6aiiy.xn--p1ai"),
        ("例え.テスト.jp", "xn--r8jz45g.xn--zckzah.jp"),
        ("so\u00adft.example.com", "soft.example.com"),
    ],
)
def test_a01_uts46_non_transitional_then_idna_2008(typed, name):
    assert canonical(typed) == name


@pytest.mark.parametrize(
    "label",
    ["xn--", "xn--a", "xn--abc-", "xn---bbk", "xn--zz", "xn--ü", "xn--99999999", f"xn--{'a' * 900}", "xn--Mnchen-3yA9"],
)
def test_a01_an_a_label_must_round_trip(label):
    assert "not a valid a-label" in refused(f"{label}.com")


@pytest.mark.parametrize("label", ["ab--cd", "ü1--x", "ﬀ--a"])
def test_a01_hyphens_in_third_and_fourth_place(label):
    assert "'--'" in refused(f"{label}.com")


@pytest.mark.parametrize("label", ["☃", "a\u200db", "אa", "\u0301a", "a$b", "a~b", "\ud800", "a\u202eb", "a'b", "a％b"])
def test_a01_what_idna_2008_forbids(label):
    reason = refused(f"{label}.com")
    assert "cannot have it" in reason
    assert "u+" in reason


@pytest.mark.parametrize(
    "blank", [" ", "\n", "\r\n", "\t", "\0", "\x7f", "\x85", "\u00a0", "\u3000", "\u2028", "\x1b[1m"]
)
@pytest.mark.parametrize("where", ["{0}a.example.com", "a.example.com{0}", "a.exa{0}mple.com", "a.example.com.{0}"])
def test_a03_blanks_and_control_characters(blank, where):
    assert "space or a control character" in refused(where.format(blank))


def test_a03_nul_then_another_name():
    assert "control character" in refused("a.example.com\0.evil.com")


@pytest.mark.parametrize("typed", ["ExAmPle.COM", "EXAMPLE.com", "ｅｘａｍｐｌｅ.com"])
def test_a04_upper_case(typed):
    assert canonical(typed) == "example.com"


def test_a04_reserved_names_are_folded_too():
    assert canonical("ExAmPle.test", allow_reserved=True) == "example.test"


@pytest.mark.parametrize("typed", ["a.example.com.", "a。example。com", "a．example｡com。", "A.EXAMPLE.COM."])
def test_a05_one_dot_at_the_end_and_foreign_dots(typed):
    assert canonical(typed) == "a.example.com"


@pytest.mark.parametrize(
    "typed", ["a.example.com..", "a.example.com.。", "a..example.com", ".example.com", "..", "\u00ad.com"]
)
def test_a05_odd_dots(typed):
    assert "is empty" in refused(typed)


@pytest.mark.parametrize("typed", ["", ".", "。", "\u00ad"])
def test_a05_nothing(typed):
    assert "is empty" in refused(typed)


@pytest.mark.parametrize("name", [f"{LABEL_63}.com", f"{'a' * 61}.example.com", NAME_253, "a.b.c.d.e.f.g.h.i.com"])
def test_a06_long_names_are_fine(name):
    assert canonical(name) == name
    assert canonical(f"{name}.") == name


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        (f"{LABEL_63}a.com", "longer than 63 octets"),
        (f"{'ü' * 63}.com", "longer than 63 octets"),
        (f"{'a' * 999}b", "longer than 63 octets"),
        ("\ufdfb" * 1000, "longer than 63 octets"),
        (f"b{NAME_253}", "longer than 63 octets"),
        (NAME_253.replace(".com", "b.com"), "longer than 253 octets"),
        (f"{'öäü.' * 6}{NAME_253[64:]}", "longer than 253 octets"),
        ("a.b.c.d.e.f.g.h.i.j.com", "more than 10 labels"),
        ("a" * 1001, "longer than 1000 characters"),
        ("ü" * 10**6, "longer than 1000 characters"),
        ("-a.com", "starts or ends with '-'"),
        ("a-.com", "starts or ends with '-'"),
        ("a.-b-.com", "starts or ends with '-'"),
    ],
)
def test_a06_sizes_and_hyphens(typed, reason):
    assert reason in refused(typed)


@pytest.mark.parametrize("typed", ["shop_1.customer.com", "_acme-challenge.customer.com", "a＿b.com"])
def test_a07_underscore(typed):
    reason = refused(typed)
    assert "underscore" in reason
    assert "ca policy" in reason


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("1.2.3.4", "ip address"),
        ("1.2.3.4.", "ip address"),
        ("１．２．３．４", "ip address"),
        ("0x7f.1", "ip address"),
        ("0X7F000001", "ip address"),
        ("2130706433", "ip address"),
        ("a.0x", "ip address"),
        ("a.test.007", "ends in a number"),
        ("::1", "ipv6"),
        ("[::1]", "ipv6"),
        ("[2001:db8::1]:443", "ipv6"),
        ("fe80::1%eth0", "ipv6"),
        ("a.test:443", "port"),
        ("a.test：443", "port"),
        ("1.2.3.4:80", "port"),
        ("http://a.test/x", "url"),
        ("https://u@a.test:443", "url"),
        ("a.test/", "url"),
        ("1.2.3.0/24", "url"),
        ("a.test?x", "url"),
        ("a\\b.test", "url"),
        ("me@a.test", "e-mail"),
        ("localhost", "single label"),
        ("intranet.", "single label"),
    ],
)
@pytest.mark.parametrize("allow_reserved", [False, True])
def test_a09_what_is_no_name(typed, reason, allow_reserved):
    assert reason in refused(typed, allow_reserved=allow_reserved)


@pytest.mark.parametrize(
    "suffix", ["com", "co.uk", "CO.UK.", "рф", "xn--p1ai", "any.ck", "kobe.jp", "公司.cn", "onion"]
)
@pytest.mark.parametrize("allow_reserved", [False, True])
def test_a09_public_suffixes_of_the_icann_section(suffix, allow_reserved):
    assert "public suffix" in refused(suffix, allow_reserved=allow_reserved)


@pytest.mark.parametrize("name", ["github.io", "me.github.io", "www.ck", "city.kobe.jp", "a.co.uk", "nic.google"])
def test_a09_a_private_suffix_is_allowed_on_purpose(name):
    assert canonical(name) == name


@pytest.mark.parametrize(
    "name", ["a.test", "a.example", "a.local", "a.internal", "a.notatld", "a.xn--zckzah", "a.home.arpa"]
)
def test_a09_reserved_and_unknown_top_level_domains(name):
    assert "top-level domain" in refused(name)
    assert canonical(name, allow_reserved=True) == name


@pytest.mark.parametrize("allow_reserved", [False, True])
def test_a09_onion(allow_reserved):
    assert "tor" in refused("expyuzz4wqqyqhjn.onion", allow_reserved=allow_reserved)


@pytest.mark.parametrize(
    ("own", "typed"),
    [
        ("api.ours.com", "api.ours.com"),
        ("api.ours.com", "X.API.ours.com."),
        ("API.Ours.com.", "api.ours.com"),
        ("münchen.de", "a.xn--mnchen-3ya.de"),
        ("xn--mnchen-3ya.de", "MÜNCHEN.de"),
        ("ours.com。", "ours.com"),
        ("*.ours.com", "a.ours.com"),
        (".ours.com", "ours.com"),
        ("ours", "a.b.ours"),
    ],
)
def test_a09_own_names_and_all_below(own, typed):
    assert "this platform" in refused(typed, own_names=("other.net", own), allow_reserved=True)


def test_a09_own_names_do_not_reach_further():
    own_names = {"edge.ours.com", "our_edge.net", "", ".", "*", "not a name", "\ud800", "x" * 2000}
    for name in ("ours.com", "notedge.ours.com", "edge.ours.com.net", "edge.net"):
        assert canonical(name, own_names=own_names) == name


def test_a12_look_alikes_are_not_our_matter():
    assert canonical("p\u0430ypal.com") == "xn--pypal-4ve.com"


@pytest.mark.parametrize(
    "typed", ["*.customer.com", "*.foö.fi", "a.*.customer.com", "w*.a.com", "*", "＊.a.com", "*.a_b.com"]
)
def test_a13_wildcards(typed):
    assert "http-01 cannot validate wildcards" in refused(typed)


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("shop1.uk.com", "shop1.uk.com"),
        ("www.shop1.uk.com", "shop1.uk.com"),
        ("uk.com", "uk.com"),
        ("me.github.io", "me.github.io"),
        ("a.b.me.github.io", "me.github.io"),
        ("github.io", "github.io"),
        ("d.c.b.compute.amazonaws.com", "c.b.compute.amazonaws.com"),  # *.compute.amazonaws.com
        ("b.compute.amazonaws.com", "b.compute.amazonaws.com"),
        ("compute.amazonaws.com", "compute.amazonaws.com"),
        ("www.amazonaws.com", "amazonaws.com"),
        ("b.a.city.kobe.jp", "city.kobe.jp"),  # !city.kobe.jp
        ("c.b.a.kobe.jp", "b.a.kobe.jp"),  # *.kobe.jp
        ("b.www.ck", "www.ck"),  # !www.ck
        ("c.b.a.ck", "b.a.ck"),  # *.ck
        ("a.shop.example.com", "example.com"),
        ("shop.co.uk", "shop.co.uk"),
        ("b.a.xn--55qx5d.cn", "a.xn--55qx5d.cn"),
        ("c.b.a.test", "a.test"),
    ],
)
def test_n14_the_registered_domain_is_counted_by_the_whole_list(name, domain):
    assert registered_domain(name) == domain


@pytest.mark.parametrize("name", ["uk.com", "github.io", "compute.amazonaws.com", "x.compute.amazonaws.com"])
def test_n14_names_are_refused_as_public_suffixes_by_the_icann_section_alone(name):
    assert canonical(name) == name


@pytest.mark.parametrize(
    ("typed", "label"),
    [
        ("shop.shop.shop.example.com", "shop"),
        ("SHOP.shop.ＳＨＯＰ.example.com", "shop"),
        ("a.www.www.www.example.com.", "www"),
        ("a.b.c.c.c.c.example.com", "c"),
        ("example.example.example.com", "example"),
        ("münchen.MÜNCHEN.xn--mnchen-3ya.de", "xn--mnchen-3ya"),
        ("a.com.com.com", "com"),
        ("1.1.1.example.com", "1"),
        ("test.test.test", "test"),
    ],
)
def test_n18_three_identical_labels_in_a_row_are_refused(typed, label):
    assert f"has the label '{label}' three times in a row" in refused(typed, allow_reserved=True)


@pytest.mark.parametrize(
    "name",
    [
        "shop.shop.example.com",
        "asdf.asdf.example.com",
        "www.www.a.www.www.example.com",
        "shop.shop.a.shop.com",
        "a.b.a.b.a.b.com",
        "shop.shopshop.shop.com",
        "x.co.co.com",
    ],
)
def test_n18_two_identical_labels_in_a_row_are_allowed(name):
    assert canonical(name) == name


@pytest.mark.parametrize(
    ("name", "is_crawled"),
    [
        ("asdf.asdf.example.com", True),
        ("www.www.shop.example.com", True),
        ("a.shop.shop.example.com", True),
        ("www.mail.cpanel.example.com", True),
        ("x.www.mail.ftp.example.com", True),
        ("asdf.asdf.com", False),  # three labels
        ("asdf.x.asdf.example.com", False),
        ("shop.shop2.example.com", False),
        ("xshop.shop.example.com", False),
        ("www.mail.example.com", False),
        ("track.customer.example.com", False),
    ],
)
def test_n18_a_name_that_looks_like_a_crawlers_is_known_as_such(name: str, *, is_crawled: bool) -> None:
    assert looks_crawled(name) is is_crawled


@pytest.mark.parametrize("name", ["shop.shop.shop.example.com", "a.a.a.a.test", "www.www.www.uk.com"])
def test_n18_a_name_that_is_held_already_is_still_found(name):
    assert names.known(name.upper()) == name


def test_a_refusal_echoes_little_and_nothing_raw():
    assert refused("\x1b[31m\u202e\n" + "é" * 900).startswith(r"'\x1b[31m\u202e\n\xe9")


ALPHABETS = (
    "abcxyzABC019-.",
    "ab.-_*@:/[]%\\?#$ \n\0\t\x7f",
    "aüÜßςſKµﬀ①ℂ㍿é\u0301\u0308.。．｡",
    "אבاب٠۰١۱12.-",
    "\u200b\u200c\u200d\u00ad\u2060\ufeff\u202e\ud800\udfff\U000e0001\U0010ffffक\u094dل.",
    "・ァ漢·l͵αא׳☃🙂\u0378.",
)


def odd_string(rng: random.Random) -> str:
    alphabet = "".join(rng.sample(ALPHABETS, rng.randint(1, 3)))
    pieces = [
        "".join(rng.choices(alphabet, k=rng.randint(0, 12))),
        "".join(chr(rng.randrange(0x110000)) for _ in range(rng.randint(0, 3))),
        "xn--" + "".join(rng.choices("abcdefgh0123456789-", k=rng.randint(0, 12))),
        "".join(rng.choices("αβγабвäöüñ漢字", k=rng.randint(1, 9))),
        rng.choice(["com", "co.uk", "test", "1.2.3.4", "0x7f", "a" * 64, "", "www"]),
    ]
    text = ".".join(rng.sample(pieces, rng.randint(1, 4))) + rng.choice(["", ".", "..", ".com", ".test", ".рф"])
    return text * rng.choice([1] * 50 + [40])


def outcome(typed: str) -> str | Problem:
    try:
        return canonical(typed, allow_reserved=True)
    except Problem as problem:
        return problem


def test_whatever_is_typed_is_a_fixed_point_or_a_problem():
    rng = random.Random(20)
    accepted = 0
    for typed in (odd_string(rng) for _ in range(5000)):
        name = outcome(typed)
        if isinstance(name, Problem):
            assert name.type is ProblemType.INVALID_NAME, ascii(typed)
            assert name.detail.isascii(), ascii(typed)
            assert name.detail.isprintable(), ascii(typed)
            continue
        accepted += 1
        assert outcome(name) == name, ascii(typed)
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-."), ascii(typed)
        assert len(name) <= 253, ascii(typed)
        assert all(0 < len(label) <= 63 for label in name.split(".")), ascii(typed)
    assert accepted > 300


@pytest.mark.parametrize(
    "typed",
    [
        "xn--" + "a1" * 498,
        "ァ・" * 500,
        "ل\u200c" * 500,
        "xn--" + "".join(map(chr, range(0x4E00, 0x4F00))),
        ":" * 1000,
        "1." * 500,
    ],
)
def test_the_worst_of_1000_characters_is_refused_at_once(typed):
    started = time.perf_counter()
    refused(typed)
    assert time.perf_counter() - started < 0.2
