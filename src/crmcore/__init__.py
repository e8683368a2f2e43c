"""crmcore: customer management to build into other programs.

>>> import crmcore
>>> with crmcore.open("memory:") as crm:
...     me = crm.acting_as("sales.east")
...     acme = me.customers.register(name="示例科技有限公司", industry="制造业")
...     acme.stage
'prospect'
"""

from crmcore.app.crm import CRM, Session, open
from crmcore.app.stores import backup, copy, upgrade
from crmcore.domain import Contact, Customer, FollowUp, FollowUpPlan, Money, Opportunity
from crmcore.errors import CRMError, Invalid, Issue
from crmcore.plugins import hookimpl

__version__ = "0.1.0"

__all__ = [
    "CRM",
    "CRMError",
    "Contact",
    "Customer",
    "FollowUp",
    "FollowUpPlan",
    "Invalid",
    "Issue",
    "Money",
    "Opportunity",
    "Session",
    "backup",
    "copy",
    "hookimpl",
    "open",
    "upgrade",
]
