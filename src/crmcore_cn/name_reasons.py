"""Why two company names are taken for one or not: the reasons, with their words in both languages."""

from typing import Final

import attrs

from crmcore.domain.policies import Label

REASONS: Final[dict[str, Label]] = {
    "identical": Label(zh="名称相同", en="the names are the same"),
    "core_same": Label(zh="字号相同", en="the core is the same"),
    "core_sound": Label(zh="字号有同音字", en="the core has characters of the same sound"),
    "core_look": Label(zh="字号有形近字", en="the core has characters of a similar look"),
    "core_near_sound": Label(zh="字号有近音字", en="the core has characters of a similar sound"),
    "core_order": Label(zh="字号只差字序", en="the characters of the core stand in another order"),
    "core_longer": Label(zh="字号多字或少字", en="one core has characters more"),
    "core_abbreviated": Label(zh="字号像是简称", en="one core may be short for the other"),
    "core_missing": Label(zh="一方没有字号", en="one name has no core"),
    "core_differs": Label(zh="字号不同", en="the core differs"),
    "series_differs": Label(zh="序号或方位不同", en="the number or direction differs"),
    "trade_same": Label(zh="行业相同", en="the trade is the same"),
    "trade_close": Label(zh="行业相近", en="the trade is nearly the same"),
    "trade_differs": Label(zh="行业不同", en="the trade differs"),
    "region_same": Label(zh="地区相同", en="the place is the same"),
    "region_level": Label(zh="地区只差行政级别", en="the places differ by level only"),
    "region_nested": Label(zh="地区相包含", en="one place lies in the other"),
    "region_missing": Label(zh="一方未写地区", en="one name has no place"),
    "region_differs": Label(zh="地区不同", en="the places differ"),
    "locality_differs": Label(zh="乡镇街道不同", en="the towns or streets differ"),
    "form_same": Label(zh="组织形式相同", en="the legal form is the same"),
    "form_close": Label(zh="组织形式相近", en="the legal form is nearly the same"),
    "form_missing": Label(zh="一方未写组织形式", en="one name has no legal form"),
    "form_differs": Label(zh="组织形式不同", en="the legal form differs"),
    "whole": Label(zh="全名的字相同比例", en="how much of the whole is the same"),
    "branch_missing": Label(zh="一方为分支机构", en="one is a branch"),
    "branch_differs": Label(zh="分支机构不同", en="the branches differ"),
}


@attrs.frozen
class Reason:
    """A reason by its key in ``REASONS``, with its weight: for the pair where above 0, against it where below."""

    key: str
    weight: float = 0.0

    @property
    def label(self) -> Label:
        """The words for it in both languages."""
        return REASONS[self.key]
