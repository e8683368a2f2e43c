"""Why a file can't be taken in at all: the reasons of :class:`crmcore.errors.ImportRejected`, with their texts."""

from __future__ import annotations

from collections.abc import Mapping

from crmcore.errors import ImportRejected, Language, language_of

REASONS: Mapping[str, tuple[str, str]] = {
    "not_found": ("there is no such file", "文件不存在"),
    "unreadable": (
        "the file can't be opened; it may be a folder, or not permitted",
        "文件无法打开,可能是文件夹或没有权限",
    ),
    "empty": ("the file is empty", "文件是空的"),
    "too_large": (
        "the file holds more than an import takes, or a cell far away from the others; split it, or delete the cell",
        "文件超出导入上限,或有远离数据的单元格,请拆分或删除后再导入",
    ),
    "not_a_workbook": ("the file is not a workbook, whatever its name says", "文件内容不是工作簿,与扩展名不符"),
    "web_page": ("the file is a web page under another name; save it as .xlsx", "文件其实是网页,请另存为 .xlsx"),
    "old_format": ("the workbook's format is not read; save it as .xlsx", "不支持该工作簿格式,请另存为 .xlsx"),
    "encrypted": (
        "the workbook is protected by a password; save it without one",
        "工作簿有密码保护,请取消密码后再导入",
    ),
    "damaged": ("the workbook is damaged; open it and save it again", "工作簿已损坏,请打开后重新保存"),
    "no_sheets": ("the workbook holds no sheet", "工作簿里没有工作表"),
    "duplicate_part": ("the workbook holds one part twice", "工作簿含有重复的部件"),
    "unsafe_path": ("the workbook names a part outside itself", "工作簿的部件路径指向文件之外"),
    "unsafe_xml": ("the workbook declares XML entities or a document type", "工作簿含有不安全的 XML 声明"),
    "bomb": ("the workbook would unpack to far more than it should", "工作簿解压后异常庞大"),
    "bad_reference": ("the workbook names cells that no sheet has", "工作簿引用了不存在的单元格"),
    "parser_died": (
        "reading the workbook took too much memory or broke the reader",
        "读取工作簿时内存超限或读取程序中断",
    ),
    "timeout": ("reading the workbook took too long", "读取工作簿超时"),
    "not_text": ("the file is neither a workbook nor text", "文件既不是工作簿也不是文本"),
    "bad_encoding": ("the text can't be decoded; say which encoding it has", "无法识别文本编码,请指明编码"),
    "open_quote": ("a quotation mark is opened and never closed", "有未闭合的引号"),
    "bad_csv": (
        "a field is longer than 131,072 characters; a quotation mark may be missing",
        "某一字段过长,可能缺少引号",
    ),
    "no_rows": ("there is a header, and no row below it", "只有表头,下面没有数据行"),
}
"""Reason: its text in English and Chinese. A reason, once published, keeps its meaning."""


def reason_text(reason: str, language: Language = "en") -> str:
    """The text of a reason for a reader."""
    return REASONS[reason][1 if language_of(language) == "zh-CN" else 0]


WHOLE_FILE = "file"
"""The part that is at fault where no smaller one is."""


def rejected(reason: str, *, part: str = WHOLE_FILE, file: str | None = None) -> ImportRejected:
    """The error to raise. ``part`` is a place in the file (a sheet, a zip part, ``row 7``), never what stands there."""
    # The name is the file's own: it may hold anything.
    part = "".join(character if character.isprintable() else "?" for character in part[:100]) or WHOLE_FILE
    message = reason_text(reason)
    return ImportRejected(reason, message if part == WHOLE_FILE else f"{message} ({part})", part=part, file=file)
