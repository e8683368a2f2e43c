"""What in a workbook openpyxl would lose, so that it is named before anything is written.

openpyxl keeps what it knows and drops the rest without a word. So nothing counts as kept but what is listed here: parts of
the package, elements of a sheet, contents of a drawing. What is dropped and doesn't matter is listed too: settings of a printer,
the order of calculation, what is worked out anew.
"""

from __future__ import annotations

import importlib.util
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from crmcore.errors import StoreCorrupt
from crmcore_excel.packages import sheet_parts

_KEPT_PARTS = re.compile(
    r"""(?x)
    \[content_types\]\.xml | .*_rels/[^/]*\.rels | docprops/(core|app|custom)\.xml
    | xl/(workbook|styles|sharedstrings)\.xml | xl/theme/theme\d*\.xml
    | xl/worksheets/[^/]*\.xml | xl/chartsheets/[^/]*\.xml | xl/tables/[^/]*\.xml
    | xl/drawings/(drawing\d*\.xml|vmldrawing\d*\.vml|commentsdrawing\d*\.vml) | xl/comments/?[^/]*\.xml
    | xl/charts/chart\d*\.xml | xl/externallinks/externallink\d*\.xml
    | xl/pivottables/[^/]*\.xml | xl/pivotcache/[^/]*\.xml
    | xl/media/[^/]*\.(png|jpe?g|gif|bmp|tiff?)
    """
)
#: Dropped, and nobody misses it.
_NEEDLESS_PARTS = re.compile(
    r"xl/calcchain\.xml|xl/printersettings/.*|docprops/thumbnail\..*|xl/charts/(style|colors)\d*\.xml|.*/"
)

_KEPT_ELEMENTS = frozenset(
    {
        *("sheetPr", "dimension", "sheetViews", "sheetFormatPr", "cols", "sheetData", "sheetProtection", "scenarios"),
        *("autoFilter", "mergeCells", "conditionalFormatting", "dataValidations", "hyperlinks", "printOptions"),
        *("pageMargins", "pageSetup", "headerFooter", "rowBreaks", "colBreaks", "drawing", "legacyDrawing"),
        *("tableParts", "extLst", "sheetCalcPr", "phoneticPr", "ignoredErrors", "sortState"),
    }
)
_EXTENSIONS = {
    "{78C0D931-6437-407D-A8EE-F0AAD7539E65}": "conditional formatting of Excel 2010",
    "{CCE6A557-97BC-4B89-ADB6-D9C93CAAB3DF}": "drop-down of Excel 2010",
    "{05C60535-1F16-4FD2-B633-F4F36F0B64E0}": "sparklines",
    "{A8765BA9-456A-4DAB-B4F3-ACF838C121DE}": "slicers",
    "{3A4CF648-6AED-40F4-86FF-DC5316D8AED3}": "slicers",
    "{7E03D99C-DC04-49D9-9315-930204A7B6E9}": "timelines",
    "{FC87AEE6-9EDD-4A0A-B7FB-166176984837}": "ignored errors of Excel 2010",
}
_DROP_DOWNS = "drop-down of Excel 2010"
_OUR_LIST = re.compile(r"'?crmcore[ _]list")
_FRAMED = frozenset({"pic", "graphicFrame", "from", "to", "ext", "pos", "clientData"})
_CHART = "http://schemas.openxmlformats.org/drawingml/2006/chart"
#: Extensions of a chart that only number its parts.
_NEEDLESS_CHART_EXTENSIONS = frozenset(
    {
        "{C3380CC4-5D6E-409C-BE32-E72D297353CC}",
        "{56B9EC1D-385E-4148-901F-78D8002777C0}",
        "{CE6537A1-D6FC-4F65-9D91-7224C49458BB}",
        "{781A3756-C4B2-4CAC-9D66-4F8BD8637D16}",
        "{02D57815-91ED-43CB-92C2-25804820EDAC}",
    }
)
_OBJECT_TYPE = re.compile(r'ObjectType="(\w+)"')
_DATE_1904 = re.compile(rb'<workbookPr[^>]*\bdate1904="(1|true)"')


def lost_parts(path: Path) -> list[str]:
    """Everything in the workbook that openpyxl would drop, by name. Raises :class:`StoreCorrupt`."""
    try:
        with zipfile.ZipFile(path) as package:
            return sorted(set(_lost(package)))
    except (zipfile.BadZipFile, OSError, ValueError, ElementTree.ParseError, LookupError) as problem:
        raise StoreCorrupt(f"{path} can't be read to its end", path=str(path), part="zip") from problem


def _lost(package: zipfile.ZipFile) -> Iterator[str]:
    has_images = importlib.util.find_spec("PIL") is not None
    wanted = ("xl/workbook.xml", "xl/_rels/workbook.xml.rels")
    sheets = {part: title for title, part in sheet_parts({name: package.read(name) for name in wanted}).items()}
    for name in package.namelist():
        lower = name.lower()
        if not _KEPT_PARTS.fullmatch(lower):
            if not _NEEDLESS_PARTS.fullmatch(lower):
                yield name
        elif lower.startswith("xl/media/") and not has_images:
            yield f"{name} (kept where Pillow is installed)"
        elif lower.startswith("xl/worksheets/") and lower.endswith(".xml"):
            yield from _lost_of_sheet(package, name, sheets.get(name, name))
        elif lower.startswith("xl/drawings/") and lower.endswith(".xml"):
            yield from (f"{what} in {name}" for what in _lost_of_drawing(package, name))
        elif lower.endswith(".vml"):
            kinds = set(_OBJECT_TYPE.findall(package.read(name).decode("utf-8", "replace"))) - {"Note"}
            yield from (f"form control {kind} in {name}" for kind in kinds)
        elif lower.startswith("xl/charts/"):
            yield from (f"{what} in {name}" for what in _lost_of_chart(package, name))
        elif lower == "xl/sharedstrings.xml" and b"<rPh" in package.read(name):
            yield f"phonetic guides in {name}"
        elif lower == "xl/workbook.xml" and _DATE_1904.search(package.read(name)):
            yield "dates counted from 1904"


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _lost_of_sheet(package: zipfile.ZipFile, name: str, title: str) -> Iterator[str]:
    depth = 0
    with package.open(name) as part:
        for event, element in ElementTree.iterparse(part, ("start", "end")):  # noqa: S314 - checked before
            if event == "start":
                depth += 1
                continue
            depth -= 1
            if depth == 1:
                tag = _local(element)
                if tag not in _KEPT_ELEMENTS:
                    yield f"{tag} in {title}"
                elif tag == "extLst":
                    yield from (f"{what} in {title}" for what in _lost_of_extensions(element))
            if _local(element) in ("row", "c") or depth == 1:
                element.clear()


def _lost_of_extensions(extensions: ElementTree.Element) -> Iterator[str]:
    for extension in extensions:
        uri = extension.get("uri", "").upper()
        what = _EXTENSIONS.get(uri, f"extension {uri}")
        if what == _DROP_DOWNS:
            formulas = [element.text or "" for element in extension.iter() if _local(element) == "f"]
            if all(_OUR_LIST.match(formula) for formula in formulas):  # our own, which are made anew
                continue
        yield what


def _lost_of_drawing(package: zipfile.ZipFile, name: str) -> Iterator[str]:
    root = ElementTree.fromstring(package.read(name))  # noqa: S314 - checked before
    for anchor in root:
        for element in anchor:
            tag = _local(element)
            if tag not in _FRAMED:
                yield {"sp": "text box or shape", "grpSp": "group of shapes", "cxnSp": "connector"}.get(tag, tag)
            elif tag == "graphicFrame" and not any(child.tag == f"{{{_CHART}}}chart" for child in element.iter()):
                yield "graphic that is no chart"


def _lost_of_chart(package: zipfile.ZipFile, name: str) -> Iterator[str]:
    for element in ElementTree.fromstring(package.read(name)).iter():  # noqa: S314 - checked before
        if _local(element) == "ext" and element.get("uri", "").upper() not in _NEEDLESS_CHART_EXTENSIONS:
            yield "chart extension"
        elif _local(element) == "userShapes":
            yield "shapes on a chart"
