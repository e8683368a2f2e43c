"""Cells as people type them and spreadsheets keep them."""

import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmcore.domain.fields import Unclean, clean_text
from crmcore.domain.values import MINOR_DIGITS, Money
from crmcore.errors import ISSUES
from crmcore.interchange import cells
from crmcore.interchange.cells import PLACEHOLDERS, CellKind, CellOptions, money_unit, parse
from crmcore.interchange.sheets import Cell, CellError

KINDS = tuple(cells._PARSERS)
LISTS = ("texts", "phones", "emails")
CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**31), 2**31),
    st.floats(),
    st.text(max_size=30),
    st.text("0123456789-/.,:年月日万亿元¥$()@;、 aTZ", max_size=25),
    st.dates(),
    st.datetimes(),
    st.times(),
    st.sampled_from([CellError("#N/A"), CellError("#REF!")]),
)


def problem(kind: CellKind, cell: Cell, **options: object) -> str:
    with pytest.raises(Unclean) as caught:
        parse(kind, cell, options=CellOptions(**options))  # type: ignore[arg-type]
    return caught.value.code


@settings(max_examples=400)
@given(st.sampled_from(KINDS), CELLS)
def test_any_cell_is_a_value_or_a_known_issue(kind: CellKind, cell: Cell) -> None:
    try:
        value = parse(kind, cell, options=CellOptions(zone=datetime.UTC, labels={"大": "large"}))
    except Unclean as unclean:
        assert unclean.code in ISSUES
        assert ISSUES[unclean.code][0].format_map({"label": "x", **unclean.facts})
    else:
        expected = {
            "text": str, "choice": str, "integer": int, "decimal": Decimal, "flag": bool, "day": datetime.date,
            "instant": datetime.datetime, "money": Money, "texts": tuple, "phones": tuple, "emails": tuple,
        }[kind]  # fmt: skip
        assert value is None or type(value) is expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("blank", [None, "", "  ", "\u3000\u00a0\n"])
def test_blank_is_nothing(kind: CellKind, blank: str | None) -> None:
    assert parse(kind, blank) == (() if kind in LISTS else None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cell", [CellError("#N/A"), "#N/A", " #REF! "])
def test_a_spreadsheet_error_is_no_value(kind: CellKind, cell: Cell) -> None:
    assert problem(kind, cell) == "cell_error"


@pytest.mark.parametrize("word", PLACEHOLDERS)
def test_words_for_nothing_count_only_where_the_table_says_so(word: str) -> None:
    assert parse("text", word) == word
    for kind in KINDS:
        assert parse(kind, f" {word.upper()} ", options=CellOptions(blanks=PLACEHOLDERS)) in (None, ())  # type: ignore[arg-type]


@given(st.integers(-(10**15) + 1, 10**15 - 1))
def test_a_whole_number_keeps_its_digits_as_text(number: int) -> None:
    assert parse("text", float(number)) == str(number)
    assert parse("integer", float(number)) == parse("integer", number) == parse("integer", f" {number:,} ") == number


@given(st.integers(10**15, 10**18))
def test_a_number_too_long_for_a_spreadsheet_is_not_guessed(number: int) -> None:
    for kind in ("text", "integer", "phones", "texts", "money"):
        assert problem(kind, float(number)) == "precision_lost"  # type: ignore[arg-type]
    assert parse("text", str(number)) == str(number)
    assert problem("text", f"{float(number):.5E}") == "precision_lost"


@given(st.decimals(-(10**9), 10**9, places=4))
def test_a_float_is_the_decimal_that_was_typed(number: Decimal) -> None:
    assert Decimal(parse("text", float(number))) == number
    assert parse("decimal", float(number)) == parse("decimal", f"{number:f}") == number


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (True, "TRUE"),
        (-0.0, "0"),
        (0.1 + 0.2, "0.3"),
        (datetime.date(2024, 3, 5), "2024-03-05"),
        (datetime.datetime(2024, 3, 5), "2024-03-05"),
        (datetime.datetime(2024, 3, 5, 9, 7, 1), "2024-03-05 09:07:01"),
        (datetime.time(9, 7), "09:07"),
        ("上海\u00a0浦东 ", "上海 浦东"),
        ("1E10", "1E10"),
    ],
)
def test_text_is_what_the_sheet_shows(cell: Cell, text: str) -> None:
    assert parse("text", cell) == text


@pytest.mark.parametrize("kind", ["integer", "decimal"])
@pytest.mark.parametrize("cell", ["十", "1,23", "1 2 3x", True, datetime.date(2024, 1, 1), "1e5", "--1", "nan"])
def test_what_is_no_number(kind: CellKind, cell: Cell) -> None:
    assert problem(kind, cell) == "bad_number"


def test_a_number_with_decimals_is_not_whole() -> None:
    assert problem("integer", 5.5) == problem("integer", "5.5") == "bad_type"


@given(st.integers(-(10**12), 10**12), st.sampled_from(["CNY", "JPY", "KWD"]))
def test_an_amount_is_exact_however_it_is_written(minor: int, currency: str) -> None:
    options = CellOptions(currency=currency)
    amount = Money(minor, currency)
    plain, grouped = f"{amount.amount:f}", f"{amount.amount:,f}"
    for cell in (plain, grouped, f" {grouped} ", f"{plain}{currency}", f"{currency.lower()} {plain}"):
        assert parse("money", cell, options=options) == amount
    if abs(minor) < 10**12:
        assert parse("money", float(amount.amount), options=options) == amount
    if minor > 0:
        assert parse("money", f"({grouped})", options=options) == Money(-minor, currency)


@given(st.integers(0, 10**7), st.integers(1, 4))
def test_decimals_beyond_the_currency_are_refused_not_rounded(whole: int, digit: int) -> None:
    for currency, digits in (("CNY", 2), ("JPY", MINOR_DIGITS["JPY"])):
        text = f"{whole}.{'0' * digits}{digit}"
        assert (
            problem("money", text, currency=currency) == problem("money", float(text), currency=currency) == "bad_money"
        )


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("10万", "CNY 100000.00"),
        ("1.5亿", "CNY 150000000.00"),
        ("2.5百万元", "CNY 2500000.00"),
        ("3千万元整", "CNY 30000000.00"),
        ("12k", "CNY 12000.00"),
        ("¥500,000.00", "CNY 500000.00"),
        ("￥１，２３４．５", "CNY 1234.50"),
        ("1,234.56元", "CNY 1234.56"),
        ("人民币5万", "CNY 50000.00"),
        ("-¥3", "CNY -3.00"),
        ("¥-3", "CNY -3.00"),
        ("$1,200", "USD 1200.00"),
        ("HK$ 8.5", "HKD 8.50"),
        ("20欧元", "EUR 20.00"),
        (1234.5600000000001, "CNY 1234.56"),
        (7, "CNY 7.00"),
    ],
)
def test_amounts_as_people_write_them(cell: Cell, expected: str) -> None:
    assert str(parse("money", cell)) == expected


@pytest.mark.parametrize(
    "cell",
    ["20-30万", "约10万", "10万左右", "10万+", "1.234,56", "1,23", "¥5 USD", "-(5)", "伍万五", "9" * 40, True, 1 / 3,
     datetime.date(2024, 1, 1)],
)  # fmt: skip
def test_what_is_no_single_amount_is_refused(cell: Cell) -> None:
    assert problem("money", cell) == "bad_money"


def test_the_column_s_unit_counts_where_the_cell_names_none() -> None:
    factor, currency = money_unit("万元")
    options = CellOptions(unit=factor)
    assert currency is None
    assert [parse("money", cell, options=options).minor for cell in (12.5, "12.5", "¥3", "10万", "10元")] == [
        12_500_000, 12_500_000, 3_000_000, 10_000_000, 1_000,
    ]  # fmt: skip
    assert [money_unit(unit) for unit in ("元", "亿美元", "usd", "%", None)] == [
        (1, None), (10**8, "USD"), (1, "USD"), (1, None), (1, None),
    ]  # fmt: skip


def test_a_sign_of_two_currencies_means_the_table_s_own() -> None:
    assert parse("money", "¥500", options=CellOptions(currency="JPY")) == Money(500, "JPY")
    assert parse("money", "500元", options=CellOptions(currency="HKD")) == Money(50_000, "HKD")
    assert parse("money", "¥500", options=CellOptions(currency="USD")) == Money(50_000, "CNY")


@pytest.mark.parametrize(
    ("cell", "numbers"),
    [
        (13000000000.0, ["13000000000"]),
        ("13000000000.0", ["13000000000"]),
        ("138 0013 8000", ["138 0013 8000"]),
        ("13800138000 13900139000", ["13800138000", "13900139000"]),
        ("13800138000/021-62345678", ["13800138000", "021-62345678"]),
        ("021-62345678/79", ["021-62345678/79"]),
        ("310/246-1501", ["310/246-1501"]),
        ("400-800-1234；13800138000、13900139000\n13800138000", ["400-800-1234", "13800138000", "13900139000"]),
        ("021-62345678-801", ["021-62345678-801"]),
        ("021-62345678转801", ["021-62345678转801"]),
        ("62345678 ext. 12", ["62345678 ext. 12"]),
        ("（021）6234 5678", ["(021)6234 5678"]),
        ("＋86 138-0013-8000", ["+86 138-0013-8000"]),
    ],
)
def test_phones_as_they_are_written(cell: Cell, numbers: list[str]) -> None:
    assert parse("phones", cell) == tuple(numbers)


@pytest.mark.parametrize(
    "cell", ["XXXXXXXXXXX", "138****5678", "1234", "联系人 13800138000", "1" * 21, True, datetime.date(2024, 1, 1), "无",
             "1" * 30_000, "1-" * 15_000, "(" * 30_000]
)  # fmt: skip
def test_what_is_no_phone(cell: Cell) -> None:
    assert problem("phones", cell) == "bad_phone"


def test_a_phone_that_was_cut_to_a_power_of_ten_is_lost() -> None:
    assert problem("phones", "1.38001E+10") == "precision_lost"


@pytest.mark.parametrize(
    ("cell", "addresses"),
    [
        ("a@b.com", ["a@b.com"]),
        ("a@b.com;c.d+e@f.co.uk、g@h.cn\na@b.com", ["a@b.com", "c.d+e@f.co.uk", "g@h.cn"]),
        ("mailto:a@b.com", ["a@b.com"]),
        ("李＠公司.中国", ["李@公司.中国"]),
    ],
)
def test_addresses(cell: Cell, addresses: list[str]) -> None:
    assert parse("emails", cell) == tuple(addresses)


@pytest.mark.parametrize(
    "cell", ["a@b", "@b.com", "a@b..com", "a@.com", "a b", "a@b.com; 无", 5.0, "a" * 30_000 + "@", "a@" + "b." * 15_000]
)
def test_what_is_no_address(cell: Cell) -> None:
    assert problem("emails", cell) == "bad_email"


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("是", True),
        ("否", False),
        ("Y", True),
        ("ｎ", False),
        (1.0, True),
        (0, False),
        ("TRUE", True),
        (False, False),
        ("√", True),
    ],
)
def test_flags(cell: Cell, value: bool) -> None:
    assert parse("flag", cell) is value
    assert problem("flag", "也许") == "bad_choice"


def test_texts_are_parted_by_what_is_no_part_of_them() -> None:
    assert parse("texts", "需求明确；待签约、投诉;a\n需求明确") == ("需求明确", "待签约", "投诉", "a")
    assert parse("texts", "red, green,blue") == ("red", "green", "blue")
    assert parse("texts", "a,b;c") == ("a,b", "c")
    assert parse("texts", "采购设备,寻求合作") == ("采购设备,寻求合作",)


def test_choices_go_by_their_labels() -> None:
    labels = {"大型企业": "large", "Small": "small", "1": "one"}
    assert [parse("choice", cell, options=CellOptions(labels=labels)) for cell in ("大型 企业", "ｓｍａｌｌ", 1.0)] == [
        "large", "small", "one",
    ]  # fmt: skip
    with pytest.raises(Unclean) as caught:
        parse("choice", "中", options=CellOptions(labels=labels))
    assert (caught.value.code, caught.value.facts) == ("bad_choice", {"allowed": "大型企业, Small, 1"})


def test_a_moment_has_the_zone_of_the_table() -> None:
    shanghai = CellOptions(zone=ZoneInfo("Asia/Shanghai"))
    noon = datetime.datetime(2024, 3, 15, 4, tzinfo=datetime.UTC)
    for cell in (
        datetime.datetime(2024, 3, 15, 12),
        "2024-03-15 12:00",
        "2024/3/15 下午 12:00:00",
        45366.5,
        "2024-03-15T04:00Z",
    ):
        assert parse("instant", cell, options=shanghai) == noon
    assert parse("instant", datetime.date(2024, 3, 15), options=shanghai) == noon - datetime.timedelta(hours=12)
    assert problem("instant", "2024-03-15 12:00") == "naive_time"


@given(st.text(max_size=50))
def test_text_is_what_the_field_itself_would_keep(text: str) -> None:
    try:
        expected = clean_text(text)
    except Unclean as unclean:
        assert problem("text", text) == unclean.code
    else:
        if not (expected or "").startswith("#"):
            assert parse("text", text) == expected
