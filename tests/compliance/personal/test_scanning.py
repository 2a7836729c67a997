"""What is recognised: by check digit, by form, beside other text; and what is not."""

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance.personal.checkdigits import mod_11_10, verhoeff
from compliance.personal.scanning import NAMES, RECOGNISERS, Scanner
from tests.compliance.personal import numbers
from tests.compliance.personal.numbers import LETTERS, completed, digits

ALL = Scanner(NAMES)
CHANCE = random.Random(11643)


def found(text, *names):
    scanner = Scanner(names) if names else ALL
    return [(each.name, text[each.start : each.end]) for each in scanner.find(text)]


def only(name, text):
    """What one recogniser finds in a text, alone and with words and punctuation around it."""
    around = [f"{text}", f"我的号码是{text}，谢谢。", f"number: {text}.", f"({text})", f"a\n{text}\nb", f'"{text}"']
    results = {tuple(value for _, value in found(each, name)) for each in around}
    assert len(results) == 1, results
    return list(results.pop())


# Check digits ----------------------------------------------------------------------------------------------------


def chinese_ids():
    for _ in range(30):
        stem = f"{CHANCE.choice(['110105', '440305', '810000', '659001'])}{CHANCE.randint(1930, 2015)}"
        stem += f"{CHANCE.randint(1, 12):02}{CHANCE.randint(1, 28):02}{digits(CHANCE, 3)}"
        yield completed(stem, "0123456789X", numbers.chinese)


CARDS = [
    ("4", 16), ("4", 13), ("52", 16), ("2221", 16), ("2720", 16), ("37", 15), ("622848", 19), ("6222", 16),
    ("3528", 16), ("36", 14), ("6011", 16), ("6304", 12), ("2202", 16),
]  # fmt: skip


def cards():
    for prefix, length in CARDS:
        for _ in range(5):
            stem = prefix + digits(CHANCE, length - 1 - len(prefix))
            yield completed(stem, "0123456789", numbers.card)


def test_it_knows_chinese_identity_numbers_by_their_check_digit():
    for right, wrong in chinese_ids():
        assert only("id_cn", right) == [right]
        assert only("id_cn", right.lower()) == [right.lower()]
        assert [found(each, "id_cn") for each in wrong] == [[]] * 10


def test_it_knows_cards_by_their_check_digit():
    for right, wrong in cards():
        assert only("card", right) == [right]
        assert [found(each, "card") for each in wrong] == [[]] * 9


def wrong_endings(number, signs="0123456789"):
    return [number[:-1] + sign for sign in signs if sign != number[-1]]


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        # Published examples of the issuers, their last sign changed to every other.
        ("id_hk", "A123456(3)", [f"A123456({sign})" for sign in "012456789A"]),
        ("id_hk", "G123456(A)", [f"G123456({sign})" for sign in "0123456789"]),
        ("id_hk", "AB987654(3)", [f"AB987654({sign})" for sign in "012456789A"]),
        ("id_tw", "A123456789", wrong_endings("A123456789")),
        ("id_tw", "A800000014", wrong_endings("A800000014")),
        ("id_es", "12345678Z", wrong_endings("12345678Z", LETTERS)),
        ("id_es", "X1234567L", wrong_endings("X1234567L", LETTERS)),
        ("id_it", "RSSMRA85T10A562S", wrong_endings("RSSMRA85T10A562S", LETTERS)),
        ("id_de", "86095742719", wrong_endings("86095742719")),
        ("id_fr", "255081416802538", [f"2550814168025{key:02}" for key in range(1, 98) if key != 38]),
        ("id_br", "52998224725", [*wrong_endings("52998224725"), "52998224735"]),
        ("iban", "GB82WEST12345698765432", [f"GB{key:02}WEST12345698765432" for key in range(2, 99) if key != 82]),
        ("iban", "DE89370400440532013000", wrong_endings("DE89370400440532013000")),
    ],
)
def test_it_holds_numbers_to_their_check_digits(name, right, wrong):
    assert only(name, right) == [right]
    assert [each for each in wrong if found(each, name)] == []


def test_it_knows_made_up_numbers_of_other_states():
    for _ in range(40):
        for name, right in (
            ("id_fr", numbers.french(f"1{digits(CHANCE, 2)}{CHANCE.randint(1, 12):02}{digits(CHANCE, 8)}")),
            ("id_jp", numbers.japanese(digits(CHANCE, 11))),
            ("id_br", numbers.brazilian("1" + digits(CHANCE, 8))),
            ("id_kr", numbers.korean(f"9{CHANCE.randint(0, 9)}{CHANCE.randint(1, 12):02}151{digits(CHANCE, 5)}")),
            ("id_in", completed("4" + digits(CHANCE, 10), "0123456789", verhoeff)[0]),
            ("iban", numbers.iban("DE", digits(CHANCE, 18))),
            ("iban", numbers.iban("NL", "ABNA" + digits(CHANCE, 10))),
        ):  # fmt: skip
            assert found(right, name) == [(name, right)], right
            changed = right[:-1] + str((int(right[-1]) + 1) % 10)
            assert found(changed, name) == [], changed


def test_german_numbers_repeat_one_digit():
    for stem in ("1203456789", "1112345678", "1122345678", "1111234567"):
        assert found(completed(stem, "0123456789", mod_11_10)[0], "id_de") == []
    for stem in ("1120345678", "1213145678"):
        right = completed(stem, "0123456789", mod_11_10)[0]
        assert found(right, "id_de") == [("id_de", right)]


def test_it_knows_old_and_new_forms():
    assert found("110105491231002", "id_cn") == [("id_cn", "110105491231002")]
    assert found("110105491331002", "id_cn") == []  # no month
    assert found("990105491231002", "id_cn") == []  # no province
    assert found("5215299(8)", "id_mo") == [("id_mo", "5215299(8)")]
    assert found("900101-1234560", "id_kr") == [("id_kr", "900101-1234560")]  # since 2020 without a check digit
    assert found("9001011234560", "id_kr") == []
    assert found("078-05-1120", "id_us") == [("id_us", "078-05-1120")]
    assert [found(each, "id_us") for each in ("000-05-1120", "666-05-1120", "900-05-1120", "078-00-1120",
                                              "078-05-0000", "078051120")] == [[]] * 6  # fmt: skip
    assert found("AB123456C", "id_uk") == found("AB123456C and QQ123456C, GB123456A", "id_uk")


SPACED = [
    ("id_cn", "110105 19491231 002X"),
    ("id_cn", "110105-1949-1231-002X"),
    ("card", "4111 1111 1111 1111"),
    ("card", "5555-5555-5555-4444"),
    ("card", "3782 822463 10005"),
    ("iban", "GB82 WEST 1234 5698 7654 32"),
    ("id_fr", "2 55 08 14 168 025 38"),
    ("id_br", "529.982.247-25"),
    ("id_in", "2341 2341 2346"),
    ("id_uk", "AB 12 34 56 C"),
    ("id_de", "86 095 742 719"),
]


@pytest.mark.parametrize(("name", "text"), SPACED)
def test_it_reads_numbers_in_groups(name, text):
    assert only(name, text) == [text]
    assert (name, text) in found(f"先 2024-01-02 {text}, 2024")


def test_it_takes_no_word_behind_a_number():
    assert found("Pay GB82 WEST 1234 5698 7654 32 today") == [("iban", "GB82 WEST 1234 5698 7654 32")]
    assert found("4111 1111 1111 1111 2024") == [("card", "4111 1111 1111 1111")]


# Telephone and e-mail --------------------------------------------------------------------------------------------

PHONE_NUMBERS = [
    "13812345678", "138 1234 5678", "138-1234-5678", "138-123-45678", "+8613812345678", "+86 138 1234 5678",
    "(+86)13812345678", "0086 13812345678", "8613812345678", "010-62345678", "(0755)82345678", "021 6234 5678",
    "0571-8234567-801", "+852 5123 4567", "+1 (415) 555-2671", "+14155552671", "(415) 555-2671", "415-555-2671",
    "415.555.2671", "1-800-555-0199", "+44 20 7946 0958", "020 7946 0958", "07700 900123", "06 12 34 56 78",
    "0612345678", "+33 6 12 34 56 78", "090-1234-5678", "010-1234-5678", "0912-345-678", "0176 12345678",
    "030/1234567", "0412 345 678", "0044 20 7946 0958",
]  # fmt: skip


@pytest.mark.parametrize("text", [each for each in PHONE_NUMBERS if each[0] in "+(01"])
def test_it_knows_telephone_numbers(text):
    assert [value for _, value in found(f"请打{text}，谢谢", "phone")] == [text]
    assert [value for _, value in found(f"call {text}.", "phone")] == [text]


NO_PHONES = [
    "12812345678", "1381234567", "138123456789", "a13812345678", "13812345678b", "2024-01-02 13:45:10",
    "192.168.100.200", "1700000000000", "3.14159265358979", "550e8400-e29b-41d4-a716-446655440000", "100,000,000",
    "4155552671", "1-2-3-4-5-6-7", "12345678-1381-4234-8567-138123456789",
]  # fmt: skip


@pytest.mark.parametrize("text", NO_PHONES)
def test_it_takes_no_other_number_for_a_telephone(text):
    assert found(text, "phone") == []


@pytest.mark.parametrize(
    "text",
    ["bob@example.com", "bob.smith+news@mail.example.co.uk", "o'hara_1%x@ex-ample.org", "13812345678@qq.com",
     "a@b.cn", "müller@bücher.de", "x" * 64 + "@example.com", "bob@sub.xn--fiqs8s"],
)  # fmt: skip
def test_it_knows_addresses(text):
    for around in (
        text,
        f"邮箱{text}，",
        f"<{text}>",
        f"mailto:{text}?subject=x",
        f"name={text}&b=c",
        f"'{text}'",
        f"{text}.",
    ):
        assert found(around) == [("email", text)], around


@pytest.mark.parametrize(
    "text", ["@张三", "a@b", "bob@localhost", "@example.com", "a@@b.com", "a@.com", "a@b.c", "x" * 65 + "@b.com"]
)
def test_it_takes_nothing_else_for_an_address(text):
    assert found(text) == []


def test_an_address_is_told_before_the_number_in_it():
    assert found("13812345678@qq.com和13912345678") == [("email", "13812345678@qq.com"), ("phone", "13912345678")]
    assert found("13812345678@qq.com", "phone") == [("phone", "13812345678")]


def test_a_number_within_a_number_is_none_by_itself():
    """Accounts whose digits hold a card's number, behind letters too."""
    account = numbers.iban("GB", "WEST41111111111111")
    spaced = " ".join(account[place : place + 4] for place in range(0, len(account), 4))
    inside = numbers.iban("MT", "MALT00000" + "4111111111111111" + "AB")
    assert len(inside) == 31
    grouped = f"{inside[:13]} {inside[13:29]} {inside[29:]}"
    for text in (account, spaced, inside, grouped):
        spans = [(each.start, each.end) for each in ALL.find(f"to {text} now")]
        assert spans == [(3, 3 + len(text))]


def test_what_stands_beside_a_value_is_found_too():
    assert [kind for kind, _ in found("+86 138 1234 5678.13912345678-bob@example.com")] == ["phone", "email"]
    assert found("A123456(3)bob@example.com") == [("id_hk", "A123456(3)"), ("email", "bob@example.com")]


# All of it -------------------------------------------------------------------------------------------------------


def test_full_width_signs_count():
    wide = {code: chr(code + 0xFEE0) for code in range(0x21, 0x7F)}
    examples = [
        ("13812345678", "phone"),
        ("bob@x.com", "email"),
        ("11010519491231002X", "id_cn"),
        ("A123456(3)", "id_hk"),
    ]
    for text, name in [*examples, ("(010)62345678", "phone"), ("+86-138-1234-5678", "phone")]:
        assert found(text.translate(wide)) == [(name, text.translate(wide))]
    assert found("138\u00a01234\u20115678") == [("phone", "138\u00a01234\u20115678")]


def test_only_what_is_switched_on_is_found():
    text = "13812345678 bob@x.com 4111111111111111 11010519491231002X"
    for name in ("phone", "email", "card", "id_cn"):
        assert [kind for kind, _ in found(text, name)] == [name]
    assert found(text, "id_fr") == []
    assert set(NAMES) == {"email", *(each.name for each in RECOGNISERS)}


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                "13812345678",
                "bob@x.com",
                "MT91 MALT 0000 0411 1111 1111 1111 1AB",
                "1 85 05 2A 006 084 36",
                "A123456(3)",
                "DE",
                "4111 1111 1111 1111",
                "+86 138 1234 5678",
                "，",
                " ",
                "x ",
                "1.",
                "第2章",
            ]
        )
    )
)
def test_what_is_found_lies_in_order_and_apart(parts):
    text = "".join(parts)
    spans = [(each.start, each.end) for each in ALL.find(text)]
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))
    assert all(0 <= start < end <= len(text) for start, end in spans)


HOSTILE = [
    "1",
    "@",
    "-",
    "1-",
    "1 ",
    "a@",
    "a1",
    "(1",
    "+1",
    "+1 ",
    "138 ",
    "1@",
    "a.",
    "a@a.",
    "AB1",
    "A1B",
    "+",
    "１",
    "GB82 ",
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_it_reads_hostile_text_in_bounded_steps(piece):
    """Every pattern is bounded, so what it takes grows with the text alone: benchmarks measure it; here it must end
    well within the suite's limit, which a pattern that tries all partitions would not."""
    text = (piece * 100_000)[:100_000]
    assert all(each.end - each.start < 400 for each in ALL.find(text))


def test_no_pattern_is_unbounded():
    """No sign repeats without an end, and no repetition is repeated more than 30 times."""
    for recogniser in RECOGNISERS:
        bare = re.sub(r"\\.|\[[^\]]*\]", "", recogniser.pattern)
        assert not re.search(r"[*+]|,\}", bare), recogniser.pattern
        assert max(map(int, re.findall(r"(\d+)\}", bare)), default=0) <= 30
