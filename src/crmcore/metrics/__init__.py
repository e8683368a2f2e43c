"""What it adds up to: reports as plain tables and descriptions of charts. Pure: the entities and now are handed in."""

from crmcore.metrics.activity import Activity, activity
from crmcore.metrics.customers import CustomerCounts, count_customers
from crmcore.metrics.due import Due, due_list, rule_labels
from crmcore.metrics.funnel import Bottleneck, Funnel, StageFigures, Totals, funnel
from crmcore.metrics.outcomes import Slice
from crmcore.metrics.review import Review, review
from crmcore.metrics.tables import Chart, Column, Listing, Table
from crmcore.metrics.tiering import Retiering, retier
from crmcore.metrics.value import ABC, RFM, abc, rfm

__all__ = [
    "ABC",
    "RFM",
    "Activity",
    "Bottleneck",
    "Chart",
    "Column",
    "CustomerCounts",
    "Due",
    "Funnel",
    "Listing",
    "Retiering",
    "Review",
    "Slice",
    "StageFigures",
    "Table",
    "Totals",
    "abc",
    "activity",
    "count_customers",
    "due_list",
    "funnel",
    "retier",
    "review",
    "rfm",
    "rule_labels",
]
