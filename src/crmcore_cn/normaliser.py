"""The normaliser for China: what each kind of text is made of, in one place."""

from __future__ import annotations

from crmcore.rules.normalisation import Normalised, Normaliser


class ChineseNormaliser(Normaliser):
    """The forms of mainland China. May be shared by threads."""

    key = "cn"

    def company_name(self, text: str) -> Normalised:
        """The name of a company."""
        return super().company_name(text)
