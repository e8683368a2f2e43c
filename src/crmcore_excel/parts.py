"""The parts of a person's workbook and how they hang together, to change as few of them as can be."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import attrs

from crmcore_excel.packages import PROPERTIES, SEAL, UNSEALED, read_parts
from crmcore_excel.sheetxml import attributes, refused

_TYPES, _ROOT = "[Content_Types].xml", "_rels/.rels"
_TYPES_SPACE = "http://schemas.openxmlformats.org/package/2006/content-types"
_RELATIONS_SPACE = "http://schemas.openxmlformats.org/package/2006/relationships"
_CUSTOM_SPACE = "http://schemas.openxmlformats.org/officeDocument/2006/custom-properties"
_VALUES_SPACE = "http://schemas.openxmlformats.org/officeDocument/2006/docPropsVTypes"
_CUSTOM_TYPE = "application/vnd.openxmlformats-officedocument.custom-properties+xml"
_CUSTOM_RELATION = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/custom-properties"
_SHEET_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"
_FORMAT_ID = "{D5CDD505-2E9C-101B-9397-08002B2CF9AE}"
_RELATION = re.compile(rb"<(?:[\w.-]+:)?Relationship\s[^<>]*>(?:(?<=/>)|\s*</(?:[\w.-]+:)?Relationship>)")
_OVERRIDE = re.compile(rb"<(?:[\w.-]+:)?Override\s[^<>]*>(?:(?<=/>)|\s*</(?:[\w.-]+:)?Override>)")
_PROPERTY = re.compile(rb"<((?:[\w.-]+:)?property)\s([^<>]*)>.*?</\1>", re.DOTALL)
_NAMED = re.compile(rb"<((?:[\w.-]+:)?definedName)\s([^<>]*)>[^<]*</\1>")
_CALCULATION = re.compile(rb"<(?:[\w.-]+:)?calcPr(?=[\s/>])[^<>]*>")
_DATE_1904 = re.compile(rb"""<(?:[\w.-]+:)?workbookPr\s[^<>]*\bdate1904\s*=\s*["'](?:1|true)["']""")


@attrs.frozen
class Relation:
    """What a part refers to: the last word of the kind, and the part by its name in the package."""

    kind: str
    target: str
    type: str


@attrs.define
class Parts:
    """All parts by name. ``workbook`` names the one that lists the sheets."""

    parts: dict[str, bytes]
    workbook: str

    @classmethod
    def of(cls, path: Path) -> Parts:
        """The parts of a workbook that was checked before."""
        with path.open("rb") as file:
            made = cls(read_parts(file), "xl/workbook.xml")
        made.workbook = next(
            (one.target for one in made.relations("").values() if one.kind == "officeDocument"), made.workbook
        )
        for name in (_TYPES, _ROOT, made.workbook, _relations_of(made.workbook)):
            if (start := made.parts[name][:4]) and (start[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in start):
                raise refused(name, ["text in UTF-16"])
        return made

    def relations(self, part: str) -> dict[str, Relation]:
        """Id: relation of a part to others; of the package itself where no part is named."""
        name = self._named(_relations_of(part))
        if name is None:
            return {}
        found = {}
        for element in ElementTree.fromstring(self.parts[name]):  # noqa: S314 - checked before
            if element.get("TargetMode") != "External":
                type = element.get("Type", "")
                target = posixpath.join("/", posixpath.dirname(part), element.get("Target", "").replace("\\", "/"))
                target = posixpath.normpath(target).lstrip("/")
                found[element.get("Id", "")] = Relation(type.rpartition("/")[2], self._named(target) or target, type)
        return found

    def _named(self, name: str) -> str | None:
        if name in self.parts:
            return name
        return next((there for there in self.parts if there.casefold() == name.casefold()), None)

    def sheets(self) -> dict[str, str]:
        """Title: part of each sheet."""
        relations = self.relations(self.workbook)
        found = {}
        for element in ElementTree.fromstring(self.parts[self.workbook]).iter():  # noqa: S314 - checked before
            if element.tag.rpartition("}")[2] == "sheet":
                id = next((value for key, value in element.items() if key.endswith("}id")), "")
                if id in relations:
                    found[element.get("name", "")] = relations[id].target
        return found

    def unkeepable(self) -> list[str]:
        """What no longer holds when a cell is another."""
        found = [name for name in self.parts if name.casefold().startswith("_xmlsignatures/") and name[-1] != "/"]
        if _DATE_1904.search(self.parts[self.workbook]):
            found.append("dates counted from 1904")
        custom = [one.target for one in self.relations("").values() if one.kind == "custom-properties"]
        return found + [name for name in custom if name != PROPERTIES]

    def add_sheet(self, title: str, state: str) -> str:
        """A blank sheet behind the others; gives its part."""
        root = ElementTree.fromstring(self.parts[self.workbook])  # noqa: S314 - checked before
        space = root.tag.partition("}")[0].lstrip("{")
        sheets = [element for element in root.iter() if element.tag.rpartition("}")[2] == "sheet"]
        id_key = next(key for element in sheets for key in element.attrib if key.endswith("}id"))
        relations = self.relations(self.workbook)
        type = next(one.type for one in relations.values() if one.kind == "worksheet")
        folder, number = posixpath.join(posixpath.dirname(self.workbook), "worksheets"), len(sheets) + 1
        while self._named(name := f"{folder}/sheet{number}.xml"):
            number += 1
        id = f"crmcore{number}"
        self.parts[name] = blank_sheet(space)
        self._append(_TYPES, "Override", _TYPES_SPACE, {"PartName": f"/{name}", "ContentType": _SHEET_TYPE})
        self._append(
            _relations_of(self.workbook),
            "Relationship",
            _RELATIONS_SPACE,
            {"Id": id, "Type": type, "Target": f"/{name}"},
        )
        sheet_id = max(int(element.get("sheetId", "0")) for element in sheets) + 1
        prefix = self._prefix()
        told = f'<{prefix}sheet xmlns:rel="{id_key[1:-3]}" name={quoteattr(title)} sheetId="{sheet_id}"'
        if state != "visible":
            told += f' state="{state}"'
        self._insert_before(f"</{prefix}sheets>", f'{told} rel:id="{id}"/>')
        return name

    def space(self) -> str:
        """The namespace of the workbook's elements."""
        return ElementTree.fromstring(self.parts[self.workbook]).tag.partition("}")[0].lstrip("{")  # noqa: S314

    def _prefix(self) -> str:
        found = re.search(rb"<((?:[\w.-]+:)?)workbook[\s>]", self.parts[self.workbook])
        return found[1].decode() if found else ""

    def _insert_before(self, tag: str, told: str) -> None:
        book = self.parts[self.workbook]
        at = book.index(tag.encode())
        self.parts[self.workbook] = book[:at] + told.encode() + book[at:]

    def _append(self, name: str, tag: str, space: str, told: Mapping[str, str]) -> None:
        """Adds an element at the end of a part, whatever prefixes it has."""
        content = self.parts[name].rstrip()
        if content.endswith(b"/>"):
            root = re.findall(rb"<([\w.:-]+)", content)[-1]
            content = content[:-2] + b"></" + root + b">"
        at = content.rindex(b"</")
        own = "" if b":" not in content[at:] else f' xmlns="{space}"'
        attributes_told = "".join(f" {key}={quoteattr(value)}" for key, value in told.items())
        self.parts[name] = content[:at] + f"<{tag}{own}{attributes_told}/>".encode() + content[at:]

    def drop(self, part: str) -> None:
        """Takes a part away that the workbook refers to."""
        ids = {id for id, one in self.relations(self.workbook).items() if one.target == part}
        del self.parts[part]
        relations = _relations_of(self.workbook)
        self.parts[relations] = _RELATION.sub(
            lambda found: b"" if attributes(found[0]).get("Id") in ids else found[0], self.parts[relations]
        )
        named = f"/{part}".casefold()
        self.parts[_TYPES] = _OVERRIDE.sub(
            lambda found: b"" if attributes(found[0]).get("PartName", "").casefold() == named else found[0],
            self.parts[_TYPES],
        )

    def drop_calculation_order(self) -> None:
        """Takes the order of calculation away, which programs work out anew."""
        for one in list(self.relations(self.workbook).values()):
            if one.kind == "calcChain" and one.target in self.parts:
                self.drop(one.target)

    def calculate_on_load(self) -> None:
        """Has the formulas worked out anew when a program opens the workbook."""
        book = self.parts[self.workbook]
        found = _CALCULATION.search(book)
        if found is None:
            prefix = self._prefix()
            at = self._behind("definedNames", "externalReferences", "functionGroups", "sheets")
            self.parts[self.workbook] = (
                book[:at] + f'<{prefix}calcPr calcId="0" fullCalcOnLoad="1"/>'.encode() + book[at:]
            )
            return
        tag = re.sub(rb"""\sfullCalcOnLoad\s*=\s*(?:"[^"]*"|'[^']*')""", b"", found[0])
        end = len(tag) - (2 if tag.endswith(b"/>") else 1)
        tag = tag[:end] + b' fullCalcOnLoad="1"' + tag[end:]
        self.parts[self.workbook] = book[: found.start()] + tag + book[found.end() :]

    def _behind(self, *tags: str) -> int:
        book, prefix = self.parts[self.workbook], self._prefix()
        for tag in tags:
            found = re.search(f"<{prefix}{tag}[^<>]*/>|</{prefix}{tag}>".encode(), book)
            if found:
                return found.end()
        raise refused(self.workbook, ["sheets that can't be told apart"])

    def name_areas(self, start: str, named: Mapping[str, str]) -> None:
        """Gives areas their names, in place of all names that begin so."""
        prefix = self._prefix()
        book = _NAMED.sub(
            lambda found: b"" if attributes(found[2]).get("name", "").startswith(start) else found[0],
            self.parts[self.workbook],
        )
        told = "".join(
            f'<{prefix}definedName name="{name}">{where}</{prefix}definedName>' for name, where in named.items()
        )
        closing = f"</{prefix}definedNames>".encode()
        if closing in book:
            book = book.replace(closing, told.encode() + closing, 1)
            self.parts[self.workbook] = re.sub(f"<{prefix}definedNames>\\s*</{prefix}definedNames>".encode(), b"", book)
        elif told:
            self.parts[self.workbook] = book
            at = self._behind("externalReferences", "functionGroups", "sheets")
            whole = f"<{prefix}definedNames>{told}</{prefix}definedNames>".encode()
            self.parts[self.workbook] = book[:at] + whole + book[at:]

    def unseal(self) -> None:
        """Makes room for the seal among the properties of the document."""
        there = self.parts.get(PROPERTIES)
        if there is None:
            there = f'<Properties xmlns="{_CUSTOM_SPACE}"></Properties>'.encode()
            self._append(_TYPES, "Override", _TYPES_SPACE, {"PartName": f"/{PROPERTIES}", "ContentType": _CUSTOM_TYPE})
            self._append(
                _ROOT,
                "Relationship",
                _RELATIONS_SPACE,
                {"Id": "crmcoreProperties", "Type": _CUSTOM_RELATION, "Target": PROPERTIES},
            )
        elif there[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in there[:4]:
            raise refused(PROPERTIES, ["text in UTF-16"])
        there = _PROPERTY.sub(lambda found: b"" if attributes(found[2]).get("name") == SEAL else found[0], there)
        used = [int(attributes(found[2]).get("pid", 1)) for found in _PROPERTY.finditer(there)]
        told = (
            f'<property xmlns="{_CUSTOM_SPACE}" fmtid="{_FORMAT_ID}" pid="{max([1, *used]) + 1}" name="{SEAL}">'
            f'<vt:lpwstr xmlns:vt="{_VALUES_SPACE}">{UNSEALED}</vt:lpwstr></property>'
        ).encode()
        there = there.rstrip()
        if there.endswith(b"/>"):
            root = re.findall(rb"<([\w.:-]+)", there)[-1]
            there = there[:-2] + b"></" + root + b">"
        at = there.rindex(b"</")
        self.parts[PROPERTIES] = there[:at] + told + there[at:]

    def forget_results(self) -> bool:
        """Takes the results of all formulas away, which LibreOffice would show as they are; gives whether there are formulas."""
        found = False
        for name in self.sheets().values():
            part = self.parts.get(name, b"")
            if _FORMULA.search(part):
                found = True
                self.parts[name] = _RESULT.sub(rb"\1", part)
        return found

    def drop_notes(self, sheet: str, places: set[tuple[int, int]], names: set[str]) -> None:
        """Takes the notes away from cells of a sheet, by (column, row) from 1 and by name."""
        for one in self.relations(sheet).values():
            content = self.parts.get(one.target)
            if content is None:
                continue
            if one.kind in ("comments", "threadedComment"):
                left = _COMMENT.sub(
                    lambda found: b"" if attributes(found[2]).get("ref") in names else found[0], content
                )
            elif one.kind == "vmlDrawing":
                left = _SHAPE.sub(lambda found: b"" if _note_place(found[0]) in places else found[0], content)
            else:
                continue
            if left != content:
                self.parts[one.target] = left


_FORMULA = re.compile(rb"<(?:[\w.-]+:)?f[\s/>]")
_RESULT = re.compile(
    rb"(<((?:[\w.-]+:)?)f(?=[\s/>])[^<>]*+(?:(?<=/)>|>[^<]*+</(?:[\w.-]+:)?f\s*>))\s*+<\2v(?:\s[^<>]*)?>[^<]*+</\2v\s*>"
)
_COMMENT = re.compile(rb"<((?:[\w.-]+:)?(?:comment|threadedComment))\s([^<>]*)>.*?</\1>", re.DOTALL)
_SHAPE = re.compile(rb"<(?:\w+:)?shape\s.*?</(?:\w+:)?shape>", re.DOTALL)
_NOTE = re.compile(rb"""ObjectType\s*=\s*["']Note["']""")
_NOTE_ROW, _NOTE_COLUMN = (re.compile(rb"<(?:\w+:)?%s>\s*(\d+)\s*<" % name) for name in (b"Row", b"Column"))


def _note_place(shape: bytes) -> tuple[int, int] | None:
    row, column = _NOTE_ROW.search(shape), _NOTE_COLUMN.search(shape)
    if row is None or column is None or not _NOTE.search(shape):
        return None
    return int(column[1]) + 1, int(row[1]) + 1


def _relations_of(part: str) -> str:
    folder, name = posixpath.split(part)
    return posixpath.join(folder, "_rels", f"{name}.rels")


def blank_sheet(space: str) -> bytes:
    """The XML of a sheet with nothing in it."""
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
        f'<worksheet xmlns="{space}"><sheetData></sheetData></worksheet>'
    ).encode()
