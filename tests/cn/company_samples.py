"""Company names for the tests, put together from parts; the firms are invented."""

from hypothesis import strategies as st

PLACES = ("山东省", "济南", "青岛市", "杭州市西湖区", "苏州", "长沙县", "内蒙古", "广西壮族自治区", "")
TOWNS = ("", "", "城关镇", "开发区")
TRADES = ("机械", "食品", "化工", "建筑工程", "信息科技", "五金制品", "物流", "服装")
FORMS = ("有限公司", "有限责任公司", "股份有限公司", "厂", "经营部", "专业合作社")
#: Characters of cores that are in no trade, place, number or direction.
CORE_CHARACTERS = "鑫瑞祥泰恒盛昌隆茂源晟翔凯鹏腾骏锦璟沐宸霖澜"

cores = st.text(st.sampled_from(CORE_CHARACTERS), min_size=2, max_size=4)


@st.composite
def company_names(draw: st.DrawFn) -> str:
    """A name such as 青岛市瑞祥食品有限公司."""
    parts = (draw(st.sampled_from(options)) for options in (PLACES, TOWNS))
    return "".join((*parts, draw(cores), draw(st.sampled_from(TRADES)), draw(st.sampled_from(FORMS))))
