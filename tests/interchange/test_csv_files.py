"""Delimited text as programs and people write it."""

import csv
import io

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crmcore.errors import ImportRejected
from crmcore.interchange.csv_files import DELIMITERS, decode, read_records, sniff_delimiter

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), max_size=12)
CHINESE = st.text(st.sampled_from('客户名称联系人电话有限公司上海浦东新区,;\n" ab1镕喆'), min_size=1, max_size=40)
TABLE = [
    ["客户名称", "联系人", "备注"],
    ["示例科技", "联系人", 'a, b; "c"'],
    ["甲公司", "", "两\n行"],
    ["乙公司", "李四", "x|y"],
]


def written(
    records: list[list[str]], delimiter: str = ",", line_end: str = "\r\n", quoting: int = csv.QUOTE_MINIMAL
) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, lineterminator=line_end, quoting=quoting).writerows(records)  # type: ignore[arg-type]
    return buffer.getvalue()


def trimmed(record: list[str]) -> tuple[str | None, ...]:
    while record and not record[-1]:
        record = record[:-1]
    return tuple(cell or None for cell in record)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(TEXTS, min_size=1, max_size=5), max_size=6),
    st.sampled_from(DELIMITERS),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_records_come_back_with_their_places(
    records: list[list[str]], delimiter: str, line_end: str, encoding: str
) -> None:
    text = written(records, delimiter, line_end, csv.QUOTE_ALL)
    found = read_records(text.encode(encoding), encoding=encoding, delimiter=delimiter)
    expected = [trimmed(record) for record in records]
    while expected and not expected[-1]:
        expected.pop()
    assert found == expected


@given(CHINESE, st.sampled_from(["utf-8", "utf-8-sig", "gb18030", "utf-16", "utf-16-le", "utf-16-be"]))
def test_chinese_text_is_decoded_without_being_told_how(text: str, encoding: str) -> None:
    text = "编号,名称,1\n" + text
    try:
        text.encode("gb18030").decode("utf-8")
    except UnicodeDecodeError:
        assert decode(text.encode(encoding)) == text
    else:
        assume(False)


@given(st.binary(max_size=200))
def test_any_bytes_are_records_or_a_reason(content: bytes) -> None:
    try:
        records = read_records(content)
    except ImportRejected as error:
        assert error.reason in {"bad_encoding", "not_text", "open_quote"}
    else:
        assert not records or records[-1]
        assert all(not record or record[-1] for record in records)


@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_the_delimiter_is_told_by_the_table(delimiter: str) -> None:
    assert sniff_delimiter(written(TABLE, delimiter)) == delimiter
    titled = "客户导入表\n说明: 必填, 请勿删除; 谢谢\n\n" + written(TABLE, delimiter)
    assert sniff_delimiter(titled) == delimiter
    assert read_records(written(TABLE, delimiter).encode()) == [trimmed(record) for record in TABLE]


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("名称;单价;金额\n甲;1,5;2,0\n乙;3,25;4,0\n", ";"),
        ("name\tnote\na\tx, y\nb\tz, w\n", "\t"),
        ("名称\n甲公司\n乙公司\n", ","),
        ("a,b\n1,2;3\n4,5;6\n7,8;9\n", ","),
        ("", ","),
    ],
)
def test_what_stands_inside_cells_does_not_decide(text: str, delimiter: str) -> None:
    assert sniff_delimiter(text) == delimiter


def test_a_delimiter_that_the_file_names_is_taken_and_its_row_kept_blank() -> None:
    assert read_records(b"sep=|\r\na|b,c\r\n1|2,3\r\n") == [(), ("a", "b,c"), ("1", "2,3")]


def test_rows_are_numbered_as_a_spreadsheet_numbers_them() -> None:
    records = read_records('名称,备注\n\n"甲","一\n二\n三"\n乙,\n\n\n'.encode())
    assert records == [("名称", "备注"), (), ("甲", "一\n二\n三"), ("乙",)]


@pytest.mark.parametrize(
    ("content", "reason", "part"),
    [
        (b'a,b\n"c,d\n1,2\n', "open_quote", "row 2"),
        (b'a,b\n1,"2', "open_quote", "row 2"),
        (b"a,b\n\0,1\n", "not_text", "line 2"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\x90\xff\xfe", "not_text", "line 3"),
        ("Café,Müller,Señor,naïve\n".encode("cp1252"), "bad_encoding", "line 1"),
        (b"a\n,\xff\xff\xff\n", "bad_encoding", "line 2"),
        (('a,"' + "x" * 200_000 + '"\n').encode(), "bad_csv", "row 1"),
    ],
)
def test_text_that_can_not_be_read_says_why_and_where(content: bytes, reason: str, part: str | None) -> None:
    with pytest.raises(ImportRejected) as caught:
        read_records(content)
    assert (caught.value.reason, caught.value.part) == (reason, part)


def test_an_encoding_that_is_given_is_the_last_word() -> None:
    western = "Café,Müller\n".encode("cp1252")
    assert read_records(western, encoding="cp1252") == [("Café", "Müller")]
    for encoding in ("utf-8", "no-such-encoding", "base64"):
        with pytest.raises(ImportRejected) as caught:
            read_records(western, encoding=encoding)
        assert caught.value.reason == "bad_encoding"


def test_a_cell_kept_as_text_by_an_equals_sign_is_the_text() -> None:
    content = b'a,b,c\n="0013",="say ""x""",=1+1\n"=""0014""",=",x="1"\n'
    assert read_records(content) == [("a", "b", "c"), ("0013", 'say "x"', "=1+1"), ("0014", '="', 'x="1"')]


def test_a_quotation_mark_inside_a_field_is_a_character() -> None:
    assert read_records(b'name,size\npipe,5" wide\n') == [("name", "size"), ("pipe", '5" wide')]
