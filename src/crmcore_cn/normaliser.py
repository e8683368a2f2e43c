"""The normaliser for China: what each kind of text is made of, in one place."""

from __future__ import annotations

import re
from functools import lru_cache

from crmcore.domain.values import FrozenMap, fold
from crmcore.rules.normalisation import NameIndex, Normalised, Normaliser, finding, half_width, without_blanks
from crmcore_cn.addresses import read_address
from crmcore_cn.company_names import parse
from crmcore_cn.emails import read_email
from crmcore_cn.industries import read_industry
from crmcore_cn.phones import read_phone, read_phones
from crmcore_cn.pinyin import initials
from crmcore_cn.registrations import read_registration

_WECHAT_LABEL = re.compile(r"^(?:微信号?|wechat|wx|v信)\s*[:.]\s*", re.IGNORECASE)
#: A name of its own, or the mobile number or QQ number that an account can be found by.
_WECHAT = re.compile(r"[a-z][-_a-z0-9]{5,19}|1[3-9][0-9]{9}|[1-9][0-9]{4,10}")
_DOTS = re.compile(r"[·•・‧∙⋅.]")
_COMPANY = re.compile(
    r"公司(?:\([^()]*\))*$|(?:集团|合伙企业|事务所|合作社|工厂|银行|医院|大学|学院|学校|研究院|研究所|委员会|协会|商行|经营部|工作室)(?:\([^()]*\))*$"
)


class ChineseNormaliser(Normaliser):
    """The forms of mainland China. May be shared by threads.

    Raises :class:`crmcore.errors.MissingExtra` where a library of the extra ``cn`` is absent.
    """

    key = "cn"

    def phone(self, text: str, *, area: str | None = None) -> Normalised:
        """A telephone number: ``0755-88886666转801``, ``400-820-8820``, ``+852 2888 8888``."""
        return read_phone(text, area)

    def phones(self, text: str, *, area: str | None = None) -> tuple[Normalised, ...]:
        """Every number in a text."""
        return read_phones(text, area)

    def email(self, text: str) -> Normalised:
        """An e-mail address by its standards."""
        return read_email(text)

    def wechat(self, text: str) -> Normalised:
        """A WeChat name (6 to 20 letters, digits, ``-`` and ``_`` from a letter on), or the number that an account is found by."""
        plain = _WECHAT_LABEL.sub("", half_width(text))
        key = fold(plain)
        if not _WECHAT.fullmatch(key):
            return Normalised(original=text, key=None, shown=text, findings=(finding("bad_wechat"),))
        return Normalised(original=text, key=key, shown=plain)

    def registration(self, text: str) -> Normalised:
        """A unified social credit code (GB 32100-2015), or the older number of a licence or an organisation.

        Parts: ``kind``, ``division``, ``province``, ``organisation``.
        """
        return read_registration(text)

    def company_name(self, text: str) -> Normalised:
        """The name of a company. The key has place, core, trade, kind of form and branch, wherever the place stands.

        有限责任公司 and 有限公司 are one form, and a company that became one of shares is the same. The key tells apart what may
        be told apart: who is left out of it is found by resemblance.
        """
        plain = half_width(text)
        name = parse(plain)
        if not name.text:
            return Normalised(original=text, key=None, shown=text)
        # 示例(中国) is a firm of its own beside 示例.
        nation = "中国" if "中国" in name.text and "中国" not in name.body else ""
        place = ",".join(sorted(name.regions[-1].codes)) if name.regions else ""
        key = "|".join((nation + place, name.locality, name.core, name.trade, name.kind or "", name.branch))
        told = {
            "region": "".join(region.text for region in name.regions) + name.locality,
            "core": name.core,
            "industry": name.trade,
            "form": name.form,
            "branch": name.branch,
        }
        parts = FrozenMap({part: value for part, value in told.items() if value})
        return Normalised(original=text, key=fold(key), shown=plain, parts=parts)

    def is_company(self, text: str) -> bool:
        """Whether only a company or an institution has such a name."""
        return bool(_COMPANY.search(half_width(text)))

    def name_index(self) -> NameIndex:
        """An index that knows regions, cores, trades and legal forms, and characters of the same sound or look."""
        from crmcore_cn.name_index import NameIndex as Names  # it reads tables of characters

        return Names()

    def person_name(self, text: str) -> Normalised:
        """The name of a person; the dot within names of minorities is one, however it is typed."""
        plain = half_width(text)
        if not plain.isascii():
            plain = without_blanks(_DOTS.sub("·", plain))
        return Normalised(original=text, key=fold(plain) or None, shown=plain or text)

    def address(self, text: str) -> Normalised:
        """A postal address by GB/T 2260."""
        return read_address(text)

    def industry(self, text: str) -> Normalised:
        """An industry by GB/T 4754-2017."""
        # Thousands of customers share a few dozen texts; a long one is no industry and not worth keeping.
        return _industry(text) if len(text) < 50 else read_industry(text)

    def short_code(self, text: str) -> str | None:
        """The initials of the name in pinyin: 重庆 is ``CQ``. Of a full legal name those of its core (字号)."""
        parts = self.company_name(text).parts
        full = parts.get("form", "").endswith("公司")
        return (initials(parts["core"]) if full and "core" in parts else "") or initials(text) or None


_industry = lru_cache(maxsize=1024)(read_industry)
