"""Store URLs."""

from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmcore.errors import InvalidURL
from crmcore.storage import StoreURL

_WORDS = st.text("abcXYZ客户09_-. %?&=#'\"", min_size=1, max_size=12)


@given(
    scheme=st.from_regex(r"[a-z][a-z0-9+.-]{0,8}", fullmatch=True),
    path=st.lists(_WORDS, max_size=3).map("/".join),
    options=st.dictionaries(_WORDS, _WORDS, max_size=3),
)
def test_what_is_quoted_comes_back(scheme: str, path: str, options: dict[str, str]) -> None:
    text = f"{scheme}:///{quote(path)}" + (f"?{urlencode(options)}" if options else "")
    url = StoreURL.parse(text)
    assert (url.scheme, url.host, url.path, url.options, url.text) == (scheme, "", path, options, text)
    assert url.take(dict.fromkeys(options, "") | {"other": "1"}) == {"other": "1"} | options


@pytest.mark.parametrize(
    ("text", "host", "path"),
    [
        ("memory:", "", ""),
        ("sqlite:///crm.db", "", "crm.db"),
        ("sqlite:////srv/crm.db", "", "/srv/crm.db"),
        ("sqlite:///C:/crm.db", "", "C:/crm.db"),
        ("sqlite:crm.db", "", "crm.db"),
        ("excel:///客户 表.xlsx", "", "客户 表.xlsx"),
        ("excel:///a%20b%3F.xlsx", "", "a b?.xlsx"),
        ("postgresql://li:s3cret@db.example:5432/crm", "li:s3cret@db.example:5432", "crm"),
    ],
)
def test_the_parts_of_a_url(text: str, host: str, path: str) -> None:
    url = StoreURL.parse(text)
    assert (url.host, url.path) == (host, path)


@pytest.mark.parametrize("text", ["", "crm.db", "/srv/crm.db", "C:\\crm.db", "://x", "SQLITE:///x", "1a:x", "a:x?y"])
def test_what_is_no_url_is_refused(text: str) -> None:
    with pytest.raises(InvalidURL):
        StoreURL.parse(text)


def test_unknown_options_are_named_with_what_is_allowed() -> None:
    url = StoreURL.parse("sqlite:///crm.db?wiat=5&joornal=x")
    with pytest.raises(InvalidURL, match="joornal, wiat; allowed: wait, journal"):
        url.take({"wait": "5", "journal": "auto"})
    with pytest.raises(InvalidURL, match="allowed: none"):
        url.take({})
    assert StoreURL.parse("sqlite:///crm.db?wait=").take({"wait": "5"}) == {"wait": ""}


@given(password=st.text("abc123!$-_.~", min_size=6, max_size=12))
def test_a_password_is_never_shown(password: str) -> None:
    url = StoreURL.parse(f"postgresql://li:{password}@db.example/crm")
    assert password not in str(url)
    assert str(url) == "postgresql://li:***@db.example/crm"


def test_a_password_is_not_shown_in_any_form() -> None:
    assert "s3cret" not in repr(StoreURL.parse("postgresql://li:s3cret@db.example/crm"))
    assert "ret" not in str(StoreURL.parse("postgresql://li:s3c@ret@db.example/crm"))
