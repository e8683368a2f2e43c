"""The demo's sample: invented customers and opportunities of a small supplier of office equipment, and what is made of them.

``customers.csv`` and ``opportunities.csv`` hold the rows; no company or person in them exists. Days in them are counted
from the day of the demo (-6: six days ago), so that something is always overdue, due and still to come.
"""
