"""What is to be marked in a copy of an imported file: the rows that were left out, why, and which cells are wrong. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import attrs

from crmcore.errors import Issue, Language, language_of

REASON_HEADING = ("Reason for rejection", "失败原因")
"""The heading of the column that says why, in English and Chinese. An import passes over a column of that name."""
UNDECIDED = frozenset({"duplicate_asked"})
"""Codes of warnings that leave a row out, too, until somebody decides."""
REASON_HEADINGS = frozenset(REASON_HEADING)


@attrs.frozen(kw_only=True)
class RejectedRows:
    """Of one sheet. ``heading`` goes to ``column`` of the ``header_row``, and ``reasons`` below it, by row; all count from 1.

    ``cells`` (row, column) are wrong; ``taken`` are rows that were imported or were there already.
    """

    sheet: str
    header_row: int
    column: int
    heading: str
    reasons: Mapping[int, str]
    cells: frozenset[tuple[int, int]]
    taken: frozenset[int]


def rejected_rows(
    sheet: str,
    issues: Iterable[Issue],
    rows: Iterable[int],
    *,
    header_row: int,
    column: int,
    said: Callable[[Issue], str],
    language: Language = "zh-CN",
) -> RejectedRows | None:
    """What the issues of a sheet say against its rows; None where nothing does. ``said`` words an issue for a reader."""
    chinese = language_of(language) == "zh-CN"
    reasons: dict[int, dict[str, None]] = {}
    cells = set()
    for issue in issues:
        if (issue.level == "error" or issue.code in UNDECIDED) and issue.row is not None:
            reasons.setdefault(issue.row, {})[said(issue)] = None
            if issue.column is not None:
                cells.add((issue.row, issue.column))
    if not reasons:
        return None
    return RejectedRows(
        sheet=sheet,
        header_row=header_row,
        column=column,
        heading=REASON_HEADING[chinese],
        reasons={row: (";" if chinese else "; ").join(texts) for row, texts in sorted(reasons.items())},
        cells=frozenset(cells),
        taken=frozenset(rows) - reasons.keys(),
    )
