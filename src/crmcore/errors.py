"""One tree of errors, and the issues that a piece of bad input can have.

Every class carries a stable ``code`` and its facts in ``details``; a message never holds personal data. Everything
that is wrong with one input comes at once, as the :class:`Issue` values of one :class:`Invalid`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

import attrs

Language = Literal["en", "zh-CN"]


def language_of(language: Language) -> Language:
    """The language itself. Raises :class:`QueryError` for one in which there are no texts."""
    if language not in ("en", "zh-CN"):
        raise QueryError(f"there are no texts in {language!r}; there are en and zh-CN")
    return language


ISSUES: Mapping[str, tuple[str, str]] = {
    "required": ("{label} is required", "{label}必填"),
    "unknown_field": ("there is no field {label}", "没有字段“{label}”"),
    "bad_type": ("{label} must be {expected}", "{label}应为{expected}"),
    "bad_text": ("{label} holds control characters or broken text", "{label}含有控制字符或损坏的文字"),
    "too_long": ("{label} is longer than {limit} characters", "{label}超过{limit}个字符"),
    "bad_choice": ("{label} must be one of: {allowed}", "{label}只能是:{allowed}"),
    "bad_number": ("{label} is not a number", "{label}不是数字"),
    "out_of_range": ("{label} is outside {limit}", "{label}超出范围:{limit}"),
    "bad_date": ("{label} is not a date", "{label}不是日期"),
    "ambiguous_date": (
        "{label} can be read as two dates; say which order is meant",
        "{label}可以读成两个日期,请说明年月日的顺序",
    ),
    "bad_window": (
        "{label} is not open time like 09:00-12:00 that closes after it opens",
        "{label}不是有效的时段,应写作09:00-12:00,且结束晚于开始",
    ),
    "overlapping": ("{label}: times or days overlap", "{label}的时段或日期互相重叠"),
    "never_open": ("{label}: no day is open", "{label}:没有任何工作日"),
    "unknown_zone": ("{label} is not the name of a time zone", "{label}不是时区名称"),
    "ends_early": ("{label} ends before it starts", "{label}的结束早于开始"),
    "out_of_order": ("{label} lies before {limit}", "{label}早于{limit}"),
    "negative_duration": ("{label} must not be negative", "{label}不能为负数"),
    "unconfirmed": (
        "holidays and working days are confirmed only as far as {limit}",
        "节假日和调休安排的确认范围以{limit}为界,超出部分未经确认",
    ),
    "unconfirmed_before": (
        "holidays and working days are confirmed only from {limit} on",
        "节假日和调休安排自{limit}起才经确认,此前未经确认",
    ),
    "out_of_reach": ("{label} lies out of reach ({limit})", "{label}超出可计算的范围({limit})"),
    "naive_time": ("{label} has no time zone", "{label}没有时区"),
    "bad_money": ("{label} is not an amount of money", "{label}不是金额"),
    "bad_currency": ("{label} is not a currency code", "{label}不是货币代码"),
    "bad_phone": ("{label} is not a telephone number", "{label}不是有效电话"),
    "bad_email": ("{label} is not an e-mail address", "{label}不是有效邮箱"),
    "precision_lost": ("{label} was typed as a number and lost digits", "{label}按数字录入,后几位已丢失"),
    "cell_error": ("{label} holds the spreadsheet error {value}", "{label}是表格错误值{value}"),
    "unknown_stage": (
        "{label} is not a stage of this playbook; it has: {allowed}",
        "{label}不是本方案中的阶段,可选阶段:{allowed}",
    ),
    "unknown_customer": ("no customer goes by this {label}", "没有此{label}对应的客户"),
    "ambiguous_customer": ("more than one customer goes by this {label}", "此{label}对应不止一个客户"),
    "no_customer": ("no customer is named; the record stands alone until one is", "未写明客户,记录暂无归属"),
    "duplicate": ("{label} is already registered as {number}", "{label}已登记,编号为{number}"),
    "duplicate_number": ("{label} is already in use", "{label}已被使用"),
    "bad_number_format": ("{label} does not fit the numbering scheme {scheme}", "{label}不符合编号规则{scheme}"),
    "reason_required": ("a reason is required", "必须填写原因"),
    "evidence_required": ("{label} is required before this step", "进入此阶段前须有{label}"),
    "refused": ("{why}", "{why}"),
    "not_possible": (
        "{action} is not possible while it is {state}; possible are: {allowed}",
        "当前状态为{state},不能{action};可以:{allowed}",
    ),
    "other_currency": ("{label} is not in {currency}", "{label}的币种不是{currency}"),
    "sum_differs": ("{label} do not add up to {limit}", "{label}合计与{limit}不符"),
    "ignored_column": ("the column {label} is not known and was left out", "不认识的列“{label}”未导入"),
    "shared_column": (
        "the columns {label} say the same field; the first that is filled counts",
        "多个列对应同一字段,取先填写的一列:{label}",
    ),
    "formula": ("{label} holds a formula; its last value was taken", "{label}含有公式,取其最后的值"),
    "vague": ("{label} is too vague to act on", "{label}过于笼统"),
}


@attrs.frozen(kw_only=True)
class Issue:
    """One thing that is wrong with an input.

    ``field`` is dotted (``customer.name``); ``row`` and ``column`` count from 1 as a spreadsheet shows them.
    ``level`` "warning" lets the row in, "error" does not. ``facts`` fill the text of the code; never personal data.
    """

    code: str
    field: str | None = None
    level: Literal["error", "warning"] = "error"
    sheet: str | None = None
    row: int | None = None
    column: int | None = None
    facts: Mapping[str, Any] = attrs.field(factory=dict)

    def text(self, language: Language = "en") -> str:
        """The issue for a reader, in English or Chinese. Raises :class:`QueryError` for another language, as every text does."""
        english, chinese = ISSUES[self.code]
        return (chinese if language_of(language) == "zh-CN" else english).format_map(
            {"label": self.field, **self.facts}
        )

    def __str__(self) -> str:
        return self.text()


class CRMError(Exception):
    """The root. ``retryable`` says that the same call may succeed later, unchanged."""

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return self.message


class DomainError(CRMError):
    """A rule of the domain says no; nothing was stored."""

    code = "domain"


class Invalid(DomainError):
    """The input breaks one or more rules: every one of them is in ``issues``."""

    code = "invalid"

    def __init__(self, issues: Iterable[Issue]) -> None:
        self.issues = tuple(issues)
        super().__init__("; ".join(f"{issue.field}: {issue}" if issue.field else str(issue) for issue in self.issues))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.issues,)


class TransitionRefused(Invalid):
    """A stage move that the playbook does not allow, or whose guards are not met. ``allowed`` names the ways out."""

    code = "transition_refused"

    def __init__(self, issues: Iterable[Issue], *, source: str, target: str, allowed: Iterable[str]) -> None:
        super().__init__(issues)
        self.source, self.target, self.allowed = source, target, tuple(allowed)
        self.message = f"{source} -> {target}: {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _transition_refused, (self.issues, self.source, self.target, self.allowed)


def _transition_refused(issues: Any, source: str, target: str, allowed: Any) -> TransitionRefused:
    return TransitionRefused(issues, source=source, target=target, allowed=allowed)


class DuplicateCustomer(DomainError):
    """The customer has a file already (one customer, one file: seeds 003, 004); ``details["number"]`` is its number."""

    code = "duplicate_customer"


class NumbersExhausted(DomainError):
    """A number series has no number left in its period; the scheme needs more digits."""

    code = "numbers_exhausted"


class NotFound(DomainError, LookupError):
    """No record of that kind goes by that id or number."""

    code = "not_found"


class Forbidden(DomainError):
    """The actor's role does not allow it."""

    code = "forbidden"


class Veto(DomainError):
    """Raised by a plugin's ``crm_check`` to refuse a change before it is stored."""

    code = "veto"


class StorageError(CRMError):
    """A store failed. Whatever a backend's own libraries raise is wrapped in a class of this branch."""

    code = "storage"


class Conflict(StorageError):
    """A record is not at the version that the change was made for. Load it again and decide again."""

    code = "conflict"


class DuplicateKey(StorageError):
    """A unique key of the schema is taken already."""

    code = "duplicate_key"


class StoreBusy(StorageError, TimeoutError):
    """Another writer held the store for longer than the wait allowed."""

    code = "store_busy"
    retryable = True


class StoreUnavailable(StorageError):
    """The store can't be reached or opened: folder missing, server down, disk failing."""

    code = "store_unavailable"


class ReadOnly(StorageError):
    """The store, or the transaction, may not be written."""

    code = "read_only"


class StoreClosed(StorageError):
    """The store or the transaction was used after its end."""

    code = "store_closed"


class SchemaMismatch(StorageError):
    """The data were written under another version of the schema, or by another program."""

    code = "schema_mismatch"


class StoreCorrupt(StorageError):
    """The data can't be read as what they claim to be."""

    code = "store_corrupt"


class StoreFull(StorageError):
    """No space is left where the store lives."""

    code = "store_full"


class QueryError(CRMError, ValueError):
    """A query names an unknown collection or field, or compares with a value of another type."""

    code = "query"


class InvalidURL(CRMError, ValueError):
    """A store URL that can't be read."""

    code = "invalid_url"


class PlaybookError(CRMError, ValueError):
    """A playbook that can't be used; ``problems`` names file, key and what is allowed, all at once."""

    code = "playbook"

    def __init__(self, source: str, problems: Iterable[str]) -> None:
        self.source, self.problems = source, tuple(problems)
        super().__init__(f"{source}: " + "; ".join(self.problems))

    def __reduce__(self) -> tuple[type[PlaybookError], tuple[str, tuple[str, ...]]]:
        return type(self), (self.source, self.problems)


class ImportRejected(CRMError, ValueError):
    """A file that can't be taken in at all; ``reason`` is a stable word and ``part`` the place inside the file."""

    code = "import_rejected"

    def __init__(self, reason: str, message: str, *, part: str | None = None, file: str | None = None) -> None:
        super().__init__(f"{file}: {message}" if file else message, reason=reason, part=part, file=file)
        self.reason, self.part, self.file = reason, part, file

    def __reduce__(self) -> tuple[Any, ...]:
        return _import_rejected, (self.reason, self.message, self.part, self.file)


def _import_rejected(reason: str, message: str, part: str | None, file: str | None) -> ImportRejected:
    rejected = ImportRejected(reason, message, part=part, file=file)
    rejected.message = message
    return rejected


class PluginError(CRMError):
    """A plugin failed; ``details["plugin"]`` names it."""

    code = "plugin"


class BackendNotFound(PluginError):
    """No installed package serves this URL scheme; the message says what to install."""

    code = "backend_not_found"


class PluginConflict(PluginError):
    """Two installed packages claim the same name."""

    code = "plugin_conflict"


class PluginLoadError(PluginError):
    """An installed plugin can't be imported, or isn't what its entry point promises."""

    code = "plugin_load"


class MissingExtra(PluginError, ImportError):
    """An optional library is absent; the message says what to install."""

    code = "missing_extra"
