"""The vocabulary of Chinese company names: legal forms, branches, trades, numerals. Facts of law and language, no names of firms."""

from typing import Final, Literal

FormKind = Literal["company", "partnership", "cooperative", "works", "shop", "institution"]

#: What a name ends with, by kind. Sources: Company Law art. 7, Partnership Law art. 15, 56 and 62, the Law on Farmers'
#: Cooperatives, and the Regulations on the Registration of Enterprise Names art. 6 to 11; shops and works as custom has them.
LEGAL_FORMS: Final[dict[FormKind, str]] = {
    "company": "股份有限公司 有限责任公司 有限公司 股份公司 股份合作公司 无限公司 集团公司 总公司 公司 有限责任 有限",
    "partnership": "有限合伙企业 合伙企业 普通合伙企业 普通合伙 有限合伙 特殊普通合伙 个人独资企业 个人独资 独资企业 个体工商户 个体",
    "cooperative": (
        "农民专业合作社联合社 农民专业合作社 专业合作社联合社 专业合作社 股份合作社 经济合作社 供销合作社 合作社联合社 合作社 "
        "联合社 家庭农场 农场 农庄 牧场 林场 养殖场 种植园"
    ),
    "works": "加工总厂 加工厂 制造厂 总厂 分厂 厂 加工处 加工部 加工点 加工店 加工坊 加工场 作坊 工坊 工场 石料场 采石场 矿 窑 场 车间",
    "shop": (
        "经营部 经销部 经销处 经营处 经销店 经营店 销售部 销售处 销售点 销售店 批发部 批发处 批发店 批发商行 零售店 门市部 门市 "
        "营业部 服务部 服务处 服务店 服务站 服务点 维修部 维修店 维修站 维修中心 修理部 修理店 修理厂 修配厂 维修厂 专卖店 专营店 "
        "便利店 连锁店 旗舰店 折扣店 代理店 商店 商行 商社 商场 商城 商贸行 贸易行 超市 超级市场 大卖场 总汇 行 店 铺 部 处 吧 馆 坊 屋 摊 档"
    ),
    "institution": (
        "律师事务所 会计师事务所 事务所 研究院 研究所 研究中心 设计院 设计室 工作室 工作站 服务中心 培训中心 销售中心 中心 医院 诊所 "
        "门诊部 卫生室 卫生院 药店 药房 学校 学院 幼儿园 培训学校 酒店 宾馆 饭店 餐厅 协会 商会 基金会 合作联社 信用社 "
        "院 所 站 社 园"
    ),
}

#: What a part of a company is called that is no company of its own (Company Law art. 13), and offices.
BRANCHES: Final = (
    "分公司 支公司 分店 支店 分厂 分行 支行 分社 分部 分所 分院 分校 办事处 代表处 营业部 营业厅 营业所 经营部 门市部 门店 "
    "项目部 事业部 销售部 工厂 基地 车间 店 厂 部 站"
)

#: Words of one character that stand for a trade right before the legal form: 板厂, 网厂.
SHORT_TRADES: Final = frozenset("板网砖瓦煤纸布袜鞋帽酒茶米面油盐糖药书花木石砂铁钢铝铜管线绳袋箱桶瓶灯泵阀车船")

#: Numbers, however they are written.
NUMERALS: Final[dict[str, int]] = {
    **{character: value for value, character in enumerate("零一二三四五六七八九十")},
    **{character: value for value, character in enumerate("0123456789")},
    **{character: value for value, character in enumerate("零壹贰叁肆伍陆柒捌玖拾")},
    "〇": 0,
    "两": 2,
}
#: Characters that tell sister companies apart: one of a group against another of it is a contradiction.
SERIES: Final = ("东西南北中", "甲乙丙丁戊己庚辛", "上下", "前后", "左右", "老新", "大小", "内外")
