"""Finding the header of a sheet: which row names the columns, of which table, and what each column is.

Pure: nothing here knows a heading; the vocabularies come from the caller.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

import attrs

from crmcore.errors import Invalid, Issue, Language, language_of
from crmcore.interchange.sheets import Cell, Sheet

SEARCHED_ROWS = 30
_LONGEST_HEADING = 60
_REQUIRED = frozenset({"必填", "必填项", "必须", "必需", "必录", "必输", "required", "mandatory"})
_OPTIONAL = frozenset({"非必填", "非必填项", "选填", "选填项", "可选", "可空", "可不填", "不必填", "optional"})
_UNITS = frozenset({"%", "人", "天", "日", "个", "次", "年", "月", "小时", "分钟", "岁", "台", "件", "份", "套"}) | frozenset(
    scale + coin for scale in ("", "千", "万", "百万", "千万", "亿") for coin in ("元", "人民币", "美元", "欧元", "港元", "日元")
) | frozenset({"千", "万", "百万", "千万", "亿", "¥", "$", "€", "£", "rmb", "cny", "usd", "eur", "hkd", "jpy"})  # fmt: skip
_BRACKETED = re.compile(r"[(\[【〔{<]([^()\[\]【】〔〕{}<>]{0,60})[)\]】〕}>]")
_TRAILING_MARK = re.compile(r"[\s\-_/:,]+(非必填|选填|必填)$")
_FORMAT = re.compile(r"[ymdhs年月日时分秒/\-:.\s]+|(?:格式|format).*")
_WORD_END = re.compile(r"[\s,、;/|]+")
_UNIT_WORD = re.compile(r"单位\s*:?\s*|unit\s*:?\s*")
_DROPPED = re.compile(r"[\s_\-–—.·:'\"“”‘’]+|[、,;。?!]+$")
_COLUMN_LETTERS = re.compile(r"[A-Z]{1,3}")
_CODE = re.compile(r"[a-z][A-Za-z0-9]*(?:[_.][A-Za-z0-9]+)*|[A-Z]+(?:_[A-Z0-9]+)+")
_CODE_SIGN = re.compile(r"_|[a-z][A-Z]")


@attrs.frozen
class Heading:
    """A heading without its marks. ``key`` is what is compared; ``unit`` such as ``万元`` or ``%`` was in brackets."""

    key: str
    required: bool = False
    unit: str | None = None


def read_heading(text: str) -> Heading:
    """Take a heading apart.

    >>> read_heading("＊ 合同 金额（万元）【必填】：")
    Heading(key='合同金额', required=True, unit='万元')
    >>> read_heading("Close_Date").key, read_heading("客户名称(非必填)").required
    ('closedate', False)
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = "".join(character for character in plain if unicodedata.category(character) != "Cf")
    required, unit = "*" in plain, None
    plain = plain.replace("*", "")

    def bracket(match: re.Match[str]) -> str:
        nonlocal required, unit
        words = set(_WORD_END.split(_UNIT_WORD.sub("", match[1].strip())))
        required = (required or not words.isdisjoint(_REQUIRED)) and words.isdisjoint(_OPTIONAL)
        unit = next(iter(words & _UNITS), unit)
        known = words & (_REQUIRED | _OPTIONAL | _UNITS) or _FORMAT.fullmatch(match[1]) or words == {""}
        return "" if known else match[0]

    plain = _BRACKETED.sub(bracket, plain).strip()
    if marked := _TRAILING_MARK.search(plain):
        required = marked[1] == "必填"
        plain = plain[: marked.start()]
    return Heading(_DROPPED.sub("", plain), required, unit)


def normalise_header(text: str) -> str:
    """The form in which headings are compared: NFKC, no case, marks, units, spaces, hyphens, trailing punctuation."""
    return read_heading(text).key


@attrs.frozen
class Vocabulary:
    """What the fields of one table are called. A field's own key counts as one of its names.

    Raises ``ValueError`` where two fields claim one name.
    """

    synonyms: Mapping[str, tuple[str, ...]]
    _index: Mapping[str, str] = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(lambda self: _reversed(self.synonyms), takes_self=True)
    )

    def field(self, heading: str) -> str | None:
        """The field of a heading, given in its normal form; what stands in brackets is dropped where that helps."""
        return self._index.get(heading) or self._index.get(_BRACKETED.sub("", heading))


def _reversed(synonyms: Mapping[str, tuple[str, ...]]) -> Mapping[str, str]:
    index: dict[str, str] = {}
    for field, names in synonyms.items():
        for name in (field, *names):
            claimed = index.setdefault(normalise_header(name), field)
            if claimed != field:
                raise ValueError(f"the heading {name!r} is claimed by {claimed} and {field}")
    return index


@attrs.frozen(kw_only=True)
class HeaderColumn:
    """One column: its number from 1, its heading as written, and its field, or None where nobody knows it."""

    column: int
    text: str
    field: str | None
    required: bool = False
    unit: str | None = None


@attrs.frozen(kw_only=True)
class Header:
    """The header of a sheet. Rows are as the spreadsheet numbers them.

    Two columns may have the same field (two columns 联系方式, 联系电话 beside 手机号码): a field that takes several values
    gets both, another one the first that is filled. ``unused`` are the keys of an explicit mapping that no column has.
    """

    row: int
    first_data_row: int
    table: str
    columns: tuple[HeaderColumn, ...]
    unused: tuple[str, ...] = ()

    def fields(self) -> frozenset[str]:
        """The fields that at least one column has."""
        return frozenset(column.field for column in self.columns if column.field)


def find_header(
    sheet: Sheet, vocabularies: Mapping[str, Vocabulary], *, mapping: Mapping[str, str | None] | None = None
) -> Header | None:
    """The header that names most fields of one table, within the first 30 rows; None where there is none.

    It must name two fields, or be the only column. Titles, notes and groups of headings above it name fewer; under a
    merged heading the lower level counts, and the upper one where the lower is blank. A row of field codes or of
    headings in another language below the header is not data.

    ``mapping`` goes before the vocabularies: heading, or column letter, to field, or to None for a column to leave
    out. Raises ``Invalid`` where it names a field that no table has.
    """
    explicit = _Mapping(mapping or {}, vocabularies)
    candidates = [
        (number, texts, table, _columns(texts, vocabulary, explicit))
        for number, texts in _texts(sheet)
        for table, vocabulary in vocabularies.items()
    ]
    if not candidates:
        return None
    number, texts, table, columns = max(candidates, key=lambda candidate: _named(candidate[3]))  # the first of the best
    named = _named(columns)
    alone = len(texts) == 1 and named == 1 and _widest(sheet, number + 1) <= 1
    if named < 2 and not alone and not (named and explicit.hit(columns)):
        return None
    row = number
    while row - number < 2 and _repeats(_row_texts(sheet, row + 1), columns, vocabularies[table]):
        row += 1
    return Header(row=number, first_data_row=row + 1, table=table, columns=columns, unused=explicit.unused(columns))


def explain_no_header(sheet: Sheet, vocabularies: Mapping[str, Vocabulary], *, language: Language = "en") -> str:
    """What was looked for where :func:`find_header` found nothing, without quoting what stands in the sheet."""
    best, known = None, frozenset[str]()
    for number, texts in _texts(sheet):
        for vocabulary in vocabularies.values():
            fields = {vocabulary.field(heading.key) for heading in map(read_heading, texts.values())} - {None}
            if len(fields) > len(known):
                best, known = number, frozenset(field for field in fields if field)
    wanted = "; ".join(
        f"{table}: {', '.join(names[0] if names else field for field, names in list(vocabulary.synonyms.items())[:8])}"
        for table, vocabulary in vocabularies.items()
    )
    if language_of(language) == "zh-CN":
        near = f"最接近的是第{best}行,只认出{'、'.join(sorted(known))}。" if best else ""
        return f"前{SEARCHED_ROWS}行中没有找到表头。{near}表头至少应有以下名称中的两个:{wanted}"
    near = f"The nearest is row {best}, where only {', '.join(sorted(known))} is known. " if best else ""
    return f"No header in the first {SEARCHED_ROWS} rows. {near}A header has at least two of: {wanted}"


def column_letters(column: int) -> str:
    """The letters that a spreadsheet shows for a column counted from 1.

    >>> column_letters(1), column_letters(28)
    ('A', 'AB')
    """
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


class _Mapping:
    """An explicit mapping, checked."""

    def __init__(self, mapping: Mapping[str, str | None], vocabularies: Mapping[str, Vocabulary]) -> None:
        known = {field for vocabulary in vocabularies.values() for field in vocabulary.synonyms}
        if strange := sorted({field for field in mapping.values() if field} - known):
            raise Invalid(Issue(code="unknown_field", field=field) for field in strange)
        self.written = mapping
        self.by_heading = {normalise_header(key): (key, field) for key, field in mapping.items()}
        self.by_letters = {key: (key, field) for key, field in mapping.items() if _COLUMN_LETTERS.fullmatch(key)}

    def find(self, texts: Mapping[int, str]) -> dict[int, tuple[str, str | None]]:
        """The mapping's key and field by column; what is a heading of this row is not read as column letters."""
        headings = {column: self.by_heading.get(normalise_header(text)) for column, text in texts.items()}
        named = {item[0] for item in headings.values() if item}
        lettered = {column: self.by_letters.get(column_letters(column)) for column in texts}
        found = {column: item for column, item in lettered.items() if item and item[0] not in named}
        return {**found, **{column: item for column, item in headings.items() if item}}

    def hit(self, columns: Sequence[HeaderColumn]) -> bool:
        return len(self.unused(columns)) < len(self.written)

    def unused(self, columns: Sequence[HeaderColumn]) -> tuple[str, ...]:
        used = {key for key, _ in self.find({column.column: column.text for column in columns}).values()}
        return tuple(key for key in self.written if key not in used)


def _texts(sheet: Sheet) -> Iterator[tuple[int, dict[int, str]]]:
    """Row number and heading-like texts by column: each row, and each two-level header, lower level first."""
    above: dict[int, str] = {}
    for index, row in enumerate(sheet.rows[:SEARCHED_ROWS]):
        number = sheet.first_row + index
        texts = _row_texts(sheet, number)
        if texts:
            yield number, texts
        words_only = all(cell is None or isinstance(cell, str) for cell in row)
        if texts and words_only and len(above) > 1 and above.keys() - texts.keys():
            yield number, dict(sorted({**above, **texts}.items()))
        above = texts


def _row_texts(sheet: Sheet, number: int) -> dict[int, str]:
    """The texts of a row by column; what is too long for a heading is left out."""
    index = number - sheet.first_row
    cells: Sequence[Cell] = sheet.rows[index] if 0 <= index < len(sheet.rows) else ()
    return {
        column: cell
        for column, cell in enumerate(cells, 1)
        if isinstance(cell, str) and len(cell) <= _LONGEST_HEADING and not cell.isspace()
    }


def _columns(texts: Mapping[int, str], vocabulary: Vocabulary, explicit: _Mapping) -> tuple[HeaderColumn, ...]:
    columns = []
    mapped = explicit.find(texts) if explicit.written else {}
    for column, text in texts.items():
        heading = read_heading(text)
        field = mapped[column][1] if column in mapped else vocabulary.field(heading.key)
        if field not in vocabulary.synonyms:
            field = None
        columns.append(
            HeaderColumn(column=column, text=text, field=field, required=heading.required, unit=heading.unit)
        )
    return tuple(columns)


def _named(columns: Sequence[HeaderColumn]) -> int:
    return len({column.field for column in columns if column.field})


def _widest(sheet: Sheet, number: int) -> int:
    """The most filled cells that a row from this one on has."""
    below = sheet.rows[max(0, number - sheet.first_row) :]
    return max((sum(cell is not None for cell in row) for row in below), default=0)


def _repeats(texts: Mapping[int, str], columns: Sequence[HeaderColumn], vocabulary: Vocabulary) -> bool:
    """Whether a row says once more what the columns are: known headings, or field codes such as ``cust_name``."""
    if len(texts) < 2 or 5 * len(texts) < 3 * len(columns):
        return False
    known = sum(vocabulary.field(normalise_header(text)) is not None for text in texts.values())
    if known >= 2 and 5 * known >= 3 * len(texts):
        return True
    codes = {text.strip() for text in texts.values()}
    if (
        len(codes) < len(texts)
        or not all(map(_CODE.fullmatch, codes))
        or all(column.text.isascii() for column in columns)
    ):
        return False
    telling = sum(
        bool(_CODE_SIGN.search(code)) or vocabulary.field(normalise_header(code)) is not None for code in codes
    )
    return 2 * telling >= len(codes)
