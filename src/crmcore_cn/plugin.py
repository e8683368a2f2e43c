"""The plugin that the entry point names: what this package brings to a CRM."""

from __future__ import annotations

from collections.abc import Iterable

from crmcore.plugins import hookimpl
from crmcore.rules.normalisation import Normaliser
from crmcore_cn.libraries import installed
from crmcore_cn.normaliser import ChineseNormaliser


class ChinesePlugin:
    """Brings the normaliser for China, where the libraries that it needs are installed (the extra ``cn``)."""

    @hookimpl
    def crm_normalisers(self) -> Iterable[Normaliser]:
        """The one normaliser; none where a library is absent, so that a command without the extra works as ever."""
        return (ChineseNormaliser(),) if installed() else ()
