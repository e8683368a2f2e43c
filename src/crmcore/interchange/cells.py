"""What a cell means: one parser for each kind of field, from what people type and what spreadsheets make of it.

Pure. A parser returns a value that the field's own cleaner takes, None (or ``()``) for a blank cell, or raises
:class:`crmcore.domain.fields.Unclean`; it never guesses. The kinds are those of :mod:`crmcore.domain.fields`, and
``phones`` and ``emails`` for texts that are such.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, tzinfo
from decimal import Decimal
from typing import Any, Literal

import attrs

from crmcore.domain.fields import Unclean, clean_instant, clean_text
from crmcore.domain.values import Money, fold
from crmcore.interchange.dates import DateOrder, read_moment
from crmcore.interchange.numerals import spoken_amount
from crmcore.interchange.sheets import Cell, CellError

CellKind = Literal[
    "text", "choice", "integer", "decimal", "flag", "day", "instant", "money", "texts", "phones", "emails"
]

PLACEHOLDERS = (
    "Select",
    "-",
    "--",
    "---",
    "—",
    "/",
    "\\",
    "?",
    "？",
    "N/A",
    "NA",
    "None",
    "NULL",
    "nil",
    "无",
    "暂无",
    "未知",
)
"""What people write for nothing. Only a table that says so reads them as blank: 无 may be an answer."""
SPREADSHEET_ERRORS = frozenset(
    {"#N/A", "#REF!", "#DIV/0!", "#VALUE!", "#NAME?", "#NUM!", "#NULL!", "#SPILL!", "#CALC!", "#GETTING_DATA"}
)
FLAGS: Mapping[str, bool] = {
    **dict.fromkeys(("是", "y", "yes", "true", "t", "1", "√", "✓", "对", "有"), True),
    **dict.fromkeys(("否", "n", "no", "false", "f", "0", "×", "✗", "错", "无"), False),
}
SCALES: Mapping[str, Decimal] = {
    **dict.fromkeys(("",), Decimal(1)),
    **dict.fromkeys(("千", "k"), Decimal(10) ** 3),
    **dict.fromkeys(("万", "w"), Decimal(10) ** 4),
    **dict.fromkeys(("百万", "m"), Decimal(10) ** 6),
    **dict.fromkeys(("千万",), Decimal(10) ** 7),
    **dict.fromkeys(("亿",), Decimal(10) ** 8),
}
_OTHER_CODES = (
    *("TWD", "MOP", "SGD", "KRW", "THB", "VND", "INR", "MYR", "IDR", "PHP", "AUD", "NZD", "CAD", "CHF", "SEK", "NOK"),
    *("DKK", "PLN", "RUB", "TRY", "AED", "SAR", "KWD", "ILS", "BRL", "MXN", "ZAR"),
)
CURRENCIES: Mapping[str, tuple[str, ...]] = {
    "¥": ("CNY", "JPY"),
    "元": ("CNY", "HKD", "TWD", "MOP"),
    **dict.fromkeys(("圆", "人民币", "rmb", "cny"), ("CNY",)),
    **dict.fromkeys(("$", "us$", "美元", "usd"), ("USD",)),
    **dict.fromkeys(("€", "欧元", "eur"), ("EUR",)),
    **dict.fromkeys(("£", "英镑", "gbp"), ("GBP",)),
    **dict.fromkeys(("hk$", "港元", "港币", "hkd"), ("HKD",)),
    **dict.fromkeys(("日元", "jpy"), ("JPY",)),
    **{code.lower(): (code,) for code in _OTHER_CODES},
}
"""What a sign or word of money means: the table's own currency if it is among these, else the first."""
_SIGNIFICANT = 10**15  # A spreadsheet keeps 15 digits; what a longer number ended in is gone.
_NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_COIN = "|".join(sorted(map(re.escape, CURRENCIES), key=len, reverse=True))
_SCALE = "|".join(sorted(filter(None, SCALES), key=len, reverse=True))
_AMOUNT = re.compile(
    rf"(?P<open>\()?(?P<sign>[+-])?(?P<before>{_COIN})?(?P<minus>-)?(?P<number>{_NUMBER})"
    rf"(?P<scale>{_SCALE})?(?P<after>{_COIN})?(?P<exact>整)?(?(open)\))"
)
_PLAIN_NUMBER = re.compile(rf"[+-]?{_NUMBER}")
_SCIENTIFIC = re.compile(r"\d\.\d{2,}E\+\d{2}", re.IGNORECASE)  # how a spreadsheet writes a long number into a CSV
_ZERO_DECIMALS = re.compile(r"\+?(\d+)\.0+")
_BETWEEN_TEXTS = re.compile(r"[;；、\n]")
_BETWEEN_PHONES = re.compile(r"[;、,\n]")
_PHONE = re.compile(r"\+?[\d(][\d\s().\-–—/]*(?:(?:转|分机|ext\.?|x|#|\*)\s*:?\s*\d{1,6})?", re.IGNORECASE)
_LONGEST_PHONE = 60
_BETWEEN_EMAILS = re.compile(r"[\s;、,/|]+")
_EMAIL = re.compile(r"[^@\s<>()\"\\,;:]{1,64}@[^@\s.<>()\"\\,;:/]+(?:\.[^@\s.<>()\"\\,;:/]+)+")


def _folded(words: Iterable[str]) -> frozenset[str]:
    return frozenset(map(fold, words))


def _by_label(labels: Mapping[str, str]) -> Mapping[str, str]:
    return {fold(label): value for label, value in labels.items()}


@attrs.frozen(kw_only=True)
class CellOptions:
    """How a column's cells are read.

    ``date_order``: see :func:`crmcore.interchange.dates.infer_date_order`; ``from_1904``: see ``Sheet``. ``zone`` is the zone of date-times, which a
    sheet never states; without it a naive one is refused. ``unit`` multiplies an amount that names no scale of its own
    (a column in 万元: 10,000). ``labels`` are a choice's labels and their values. ``reads_phone`` tells of further texts
    that they are telephone numbers. ``blanks`` are read as nothing, whatever their case and width.
    """

    date_order: DateOrder | None = None
    from_1904: bool = False
    zone: tzinfo | None = None
    currency: str = "CNY"
    unit: Decimal = Decimal(1)
    labels: Mapping[str, str] = attrs.field(factory=dict)
    reads_phone: Callable[[str], bool] | None = attrs.field(default=None, eq=False)
    blanks: frozenset[str] = attrs.field(factory=frozenset[str], converter=_folded)
    _choices: Mapping[str, str] = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(lambda self: _by_label(self.labels), takes_self=True)
    )

    def choice(self, label: str) -> str | None:
        """The value of a label, whatever its case, width and spaces."""
        return self._choices.get(fold(label))


DEFAULTS = CellOptions()


def money_unit(heading_unit: str | None) -> tuple[Decimal, str | None]:
    """What a heading's unit says of an amount: the factor, and the currency where it names just one (元 does not).

    >>> money_unit("万元"), money_unit("万美元"), money_unit("%")
    ((Decimal('10000'), None), (Decimal('10000'), 'USD'), (Decimal('1'), None))
    """
    for scale in sorted(SCALES, key=len, reverse=True):
        coin = (heading_unit or "").removeprefix(scale)
        if (heading_unit or "").startswith(scale) and (coin in CURRENCIES or (scale and not coin)):
            meant = CURRENCIES.get(coin, ())
            return SCALES[scale], meant[0] if len(meant) == 1 else None
    return Decimal(1), None


def parse(kind: CellKind, cell: Cell, *, options: CellOptions = DEFAULTS) -> Any:
    """The value of a cell for a field of this kind. Raises ``Unclean`` with a code of :data:`crmcore.errors.ISSUES`."""
    if isinstance(cell, CellError):
        raise Unclean("cell_error", value=cell.code)
    if isinstance(cell, str):
        text = clean_text(cell)
        if text in SPREADSHEET_ERRORS:
            raise Unclean("cell_error", value=text)
        cell = None if text is None or (options.blanks and fold(text) in options.blanks) else text
    if cell is None:
        return () if kind in ("texts", "phones", "emails") else None
    return _PARSERS[kind](cell, options)


def _as_text(cell: Cell) -> str:
    """What a reader of the sheet would copy down."""
    if isinstance(cell, str):
        if _SCIENTIFIC.fullmatch(cell):
            raise Unclean("precision_lost")
        return cell
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float):
        return f"{_exact(cell):f}"
    if isinstance(cell, datetime):
        return f"{cell:%Y-%m-%d}" if cell.time() == time() else f"{cell:%Y-%m-%d %H:%M:%S}"
    if isinstance(cell, time):
        return f"{cell:%H:%M:%S}" if cell.second else f"{cell:%H:%M}"
    return str(cell)


def _exact(number: float | int) -> Decimal:
    """The number at the 15 digits that a spreadsheet keeps, whole ones without decimals."""
    if isinstance(number, int):
        return Decimal(number)
    if not abs(number) < _SIGNIFICANT:  # NaN and infinity too
        raise Unclean("precision_lost")
    exact = Decimal(f"{number:.15g}")
    return Decimal(int(exact)) if exact == exact.to_integral_value() else exact


def _text(cell: Cell, options: CellOptions) -> str:
    return _as_text(cell)


def _number(cell: Cell) -> Decimal:
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        return _exact(cell)
    if isinstance(cell, str):
        text = unicodedata.normalize("NFKC", cell).replace(" ", "")
        if _PLAIN_NUMBER.fullmatch(text):
            return Decimal(text.replace(",", ""))
    raise Unclean("bad_number")


def _integer(cell: Cell, options: CellOptions) -> int:
    number = _number(cell)
    if number != number.to_integral_value():
        raise Unclean("bad_type", expected="a whole number")
    return int(number)


def _decimal(cell: Cell, options: CellOptions) -> Decimal:
    return _number(cell)


def _flag(cell: Cell, options: CellOptions) -> bool:
    if isinstance(cell, bool):
        return cell
    found = FLAGS.get(fold(_as_text(cell)))
    if found is None:
        raise Unclean("bad_choice", allowed="是, 否")
    return found


def _choice(cell: Cell, options: CellOptions) -> str:
    value = options.choice(_as_text(cell))
    if value is None:
        raise Unclean("bad_choice", allowed=", ".join(options.labels))
    return value


def _day(cell: Cell, options: CellOptions) -> date:
    """A date; a time of day beside it is let go, since a sheet's date-times are local ones."""
    found = read_moment(cell, options.date_order, from_1904=options.from_1904)
    return found.date() if isinstance(found, datetime) else found


def _instant(cell: Cell, options: CellOptions) -> datetime:
    """A moment; a date alone is its midnight."""
    found = read_moment(cell, options.date_order, from_1904=options.from_1904)
    if not isinstance(found, datetime):
        found = datetime.combine(found, time())
    if found.tzinfo is None and options.zone is not None:
        found = found.replace(tzinfo=options.zone)
    return clean_instant(found)


def _money(cell: Cell, options: CellOptions) -> Money:
    """An amount. It is never rounded: more decimals than its currency has are refused, the noise of a float aside,
    which is taken at the 15 digits that a spreadsheet keeps. A cell that names a scale or a coin word of its own (10万, 10元)
    ignores the column's unit."""
    if isinstance(cell, bool) or not isinstance(cell, (int, float, str)):
        raise Unclean("bad_money")
    currency, unit = options.currency, options.unit
    if isinstance(cell, str):
        text = spoken_amount(unicodedata.normalize("NFKC", cell).casefold().replace(" ", ""))
        found = _AMOUNT.fullmatch(text)
        if not found or (
            found["before"] and found["after"] and _coin(found["before"], currency) != _coin(found["after"], currency)
        ):
            raise Unclean("bad_money")
        amount = Decimal(found["number"].replace(",", ""))
        minuses = [found["open"], found["minus"], found["sign"] == "-"]
        if sum(map(bool, minuses)) > 1:
            raise Unclean("bad_money")
        if any(minuses):
            amount = -amount
        if found["scale"] or found["after"]:
            unit = SCALES[found["scale"] or ""]
        if coin := found["before"] or found["after"]:
            currency = _coin(coin, currency)
    else:
        amount = _exact(cell)
    try:
        return Money.of(amount * unit, currency)
    except (ValueError, ArithmeticError):
        raise Unclean("bad_money") from None


def _coin(sign: str, currency: str) -> str:
    meant = CURRENCIES[sign]
    return currency if currency in meant else meant[0]


def _texts(cell: Cell, options: CellOptions) -> tuple[str, ...]:
    """Texts between ``; ； 、`` and line breaks. A comma parts only what is plain ASCII: Chinese names and notes hold commas."""
    text = _as_text(cell)
    parts = text.split(",") if text.isascii() and not _BETWEEN_TEXTS.search(text) else _BETWEEN_TEXTS.split(text)
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _phones(cell: Cell, options: CellOptions) -> tuple[str, ...]:
    """Telephone numbers as written, between ``; ； 、 , ，  /`` and line breaks.

    A blank parts numbers where each of them has at least 7 digits, ``/`` where both sides have at least 5: less is an
    area code or another ending.
    """
    if isinstance(cell, (bool, date, time)):
        raise Unclean("bad_phone")
    text = unicodedata.normalize("NFKC", _as_text(cell)).lstrip("'‘’`")  # marks that keep a number text
    if whole := _ZERO_DECIMALS.fullmatch(text):
        text = whole[1]
    numbers: list[str] = []
    for part in _BETWEEN_PHONES.split(text):
        for piece in _slashed(part):
            chunks = piece.split()
            numbers += chunks if all(_digits(chunk) >= 7 for chunk in chunks) else [" ".join(chunks)]
    for number in numbers:
        plain = _PHONE.fullmatch(number) and 5 <= _digits(number) <= 20
        if len(number) > _LONGEST_PHONE or not (plain or (options.reads_phone and options.reads_phone(number))):
            raise Unclean("bad_phone")
    return tuple(dict.fromkeys(numbers))


def _slashed(text: str) -> list[str]:
    pieces: list[str] = []
    for piece in text.split("/"):
        if pieces and (_digits(piece) < 5 or _digits(pieces[-1]) < 5):
            pieces[-1] += "/" + piece
        else:
            pieces.append(piece)
    return pieces


def _digits(text: str) -> int:
    return sum(map(str.isdecimal, text))


def _emails(cell: Cell, options: CellOptions) -> tuple[str, ...]:
    """Addresses between blanks, ``; ； 、 , ， / |`` and line breaks; only their form is looked at."""
    text = unicodedata.normalize("NFKC", cell) if isinstance(cell, str) else ""
    found = [part.removeprefix("mailto:") for part in _BETWEEN_EMAILS.split(text) if part]
    if not found or not all(len(address) <= 254 and _EMAIL.fullmatch(address) for address in found):
        raise Unclean("bad_email")
    return tuple(dict.fromkeys(found))


_PARSERS: Mapping[CellKind, Callable[[Any, CellOptions], Any]] = {
    "text": _text,
    "choice": _choice,
    "integer": _integer,
    "decimal": _decimal,
    "flag": _flag,
    "day": _day,
    "instant": _instant,
    "money": _money,
    "texts": _texts,
    "phones": _phones,
    "emails": _emails,
}
