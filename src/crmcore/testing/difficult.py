"""Values that stores have been seen to lose: each is one that the domain lets through, so each must come back whole."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

from crmcore.domain.fields import MAX_INTEGER, MAX_TEXT, MIN_INTEGER
from crmcore.storage import FieldType, Scalar

#: The longest that the domain lets through.
LONG_TEXTS: Final = ("x" * MAX_TEXT, "客户" * (MAX_TEXT // 2), "\U00020bb7" * (MAX_TEXT // 2))

TEXTS: Final = (
    "a",
    "A",
    # What looks like a number, a truth, a date, nothing.
    *("0", "007", "00", "-1", "+8613800138000", "1e5", "1.0", "0x10", "110101199003078888", "12345678901234567890"),
    *("TRUE", "false", "NULL", "None", "nan", "inf", "2024-02-30", "2024-01-31", "1/2", "12:30", "#N/A", "#DIV/0!"),
    # What looks like a formula, or like something to be filled in or run.
    *("=1+1", "=cmd|' /C calc'!A0", "@SUM(A1)", "-2+3", "%s", "%(x)s", ":name", "?1", "$1", "${x}", "{0}", "\\N", "\\."),
    *("'", "''", '"', "`", "\\", "\\'", "a'b\"c", "'; DROP TABLE customers; --", "/*", "*/", "<b>&amp;</b>", "]]>"),
    # Wildcards of LIKE, GLOB and regular expressions are letters like any other.
    *("%", "_", "a%b", "aXb", "a_b", "[a-z]*", "*", "?", ".*", "^a$", "~", "a\\%b"),
    # Escapes of the workbook format, and the separators of text files.
    *("_x000D_", "_x0041_", "a,b;c", "a|b", "a\nb", "a\tb", "a\n\nb", "line\u2028line"),
    # Scripts, and pairs that a careless comparison takes for one.
    *("示例科技有限公司", "陈·阿不都", "ＡＢＣ", "カタカナ", "ｶﾀｶﾅ", "한국어", "مرحبا", "עברית", "हिन्दी", "ไทย"),
    *("Straße", "STRASSE", "İstanbul", "istanbul", "ı", "\u00c4pfel", "äpfel", "é", "e", "ﬁ", "fi", "²", "2", "Ω", "\u212b".lower()),
    # Letters outside the first plane, letters that follow them in UTF-16 but go before them, marks without a letter.
    *("\U00020bb7野家", "😀", "👩\u200d👩\u200d👧", "🇨🇳", "\ufffd", "\ue000", "\uff5e", "q\u0307", "a\u200bb", "\ufeffx", "a\u00adb"),
    # Longer than the short texts of databases.
    *("x" * 300, "客" * 300, "\U00020bb7" * 300),
)  # fmt: skip

DIFFICULT: Final[Mapping[FieldType, tuple[Scalar, ...]]] = {
    "text": TEXTS,
    "integer": (0, 1, -1, 255, 2**31 - 1, -(2**31), 2**31, 2**53, 2**53 + 1, -(2**53) - 1, MAX_INTEGER, MIN_INTEGER),
    "boolean": (False, True),
    "date": (
        date(2024, 2, 29),
        date(1970, 1, 1),
        date(1969, 12, 31),
        date(1904, 1, 1),
        date(1900, 2, 28),
        date(1900, 3, 1),
        date(1899, 12, 31),
        date(1582, 10, 10),
        date(99, 12, 31),
        date.min,
        date.max,
    ),
    "instant": (
        datetime(2024, 2, 29, 12, 30, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1970, 1, 1, 0, 0, 0, 1000, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
        datetime(2024, 3, 31, 1, 59, 59, 1000, tzinfo=UTC),
        datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
        datetime(1899, 12, 30, 0, 0, 0, 7000, tzinfo=UTC),
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(microsecond=999_000, tzinfo=UTC),
    ),
    "decimal": tuple(
        Decimal(text)
        for text in (
            *("0", "1", "-1", "0.1", "0.10", "-0.1", "1.10", "100", "1E+2", "1E+20", "1E-20", "-1E-20", "-0"),
            *("12345678901234567.89", "12345678901234567.88", "0.30000000000000004", "0.3"),
            *("99999999999999999999999999999999999999", "-99999999999999999999999999999999999999"),
            *("9007199254740993", "9007199254740992", "10", "9", "-10", "-9", "1.5", "1.05"),
        )
    ),
}
