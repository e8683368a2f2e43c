"""What it adds up to: reports as plain tables and descriptions of charts. Pure: the entities and now are handed in."""

from crmcore.metrics.accuracy import Accuracy, accuracy
from crmcore.metrics.activity import Activity, activity
from crmcore.metrics.customer_funnel import CustomerFunnel, CustomerSlice, customer_funnel
from crmcore.metrics.customers import CustomerCounts, count_customers
from crmcore.metrics.due import Due, due_list, rule_labels
from crmcore.metrics.duties import Duties, DutyOutcomes, duties
from crmcore.metrics.forecast import Forecast, ForecastLine, forecast
from crmcore.metrics.funnel import Funnel, StageFigures, Totals, funnel
from crmcore.metrics.incomplete import incomplete
from crmcore.metrics.outcomes import Slice
from crmcore.metrics.overview import Overview
from crmcore.metrics.quality import Filled, Quality, quality
from crmcore.metrics.replay import Replay, RuleReplay, replay
from crmcore.metrics.review import Review, review
from crmcore.metrics.risk import Finding, Flagged, Risk, risk
from crmcore.metrics.service import Service, ServiceFigures, service
from crmcore.metrics.stage_paths import Bottleneck, StageProgress
from crmcore.metrics.tables import Chart, Column, Listing, Table
from crmcore.metrics.tiering import Retiering, retier
from crmcore.metrics.value import ABC, RFM, abc, rfm

__all__ = [
    "ABC",
    "RFM",
    "Accuracy",
    "Activity",
    "Bottleneck",
    "Chart",
    "Column",
    "CustomerCounts",
    "CustomerFunnel",
    "CustomerSlice",
    "Due",
    "Duties",
    "DutyOutcomes",
    "Filled",
    "Finding",
    "Flagged",
    "Forecast",
    "ForecastLine",
    "Funnel",
    "Listing",
    "Overview",
    "Quality",
    "Replay",
    "Retiering",
    "Review",
    "Risk",
    "RuleReplay",
    "Service",
    "ServiceFigures",
    "Slice",
    "StageFigures",
    "StageProgress",
    "Table",
    "Totals",
    "abc",
    "accuracy",
    "activity",
    "count_customers",
    "customer_funnel",
    "due_list",
    "duties",
    "forecast",
    "funnel",
    "incomplete",
    "quality",
    "replay",
    "retier",
    "review",
    "rfm",
    "risk",
    "rule_labels",
    "service",
]
