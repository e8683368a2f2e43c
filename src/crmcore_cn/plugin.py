"""The plugin that the entry point names: what this package brings to a CRM."""

from __future__ import annotations

from collections.abc import Iterable

from crmcore.plugins import hookimpl
from crmcore.rules.normalisation import Normaliser
from crmcore_cn.normaliser import ChineseNormaliser


class ChinesePlugin:
    """Brings the normaliser for China."""

    @hookimpl
    def crm_normalisers(self) -> Iterable[Normaliser]:
        """The one normaliser."""
        return (ChineseNormaliser(),)
