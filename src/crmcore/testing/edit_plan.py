"""What the kit has a person do to the data with another program."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from crmcore.storage import FieldView, Presentation, Scalar, SheetView
from crmcore.testing.kit_schema import GROUP, VALUES


@attrs.frozen(kw_only=True)
class PersonsEdit:
    """One row that a person changes, adds or removes: ``id`` is None for a row added, ``values`` are what is written into its
    fields. A text stands where a value of another type belongs when the person writes nonsense there."""

    kind: Literal["changed", "added", "removed"]
    collection: str
    id: str | None = None
    values: Mapping[str, Scalar] = attrs.field(factory=dict)


#: How the kit's collections are shown to the person: every field but the version, all of them editable.
PRESENTATION = Presentation(
    sheets={
        collection.name: SheetView(
            title=collection.name,
            fields={
                field.name: FieldView(heading=field.name, editable=field.name != "id")
                for field in collection.fields
                if field.name != "version"
            },
            addable=True,
        )
        for collection in (VALUES, GROUP)
    }
)
