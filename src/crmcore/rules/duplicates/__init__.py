"""Duplicates (一户一档; seeds 003, 004): which records are of one customer, and why. Pure, deterministic, without training.

Rules are data (:class:`MatchRules`, :class:`FieldRule`; ``PEOPLE`` and ``ORGANISATIONS`` are ready). Records are mappings of
fields to texts, one or several, that the caller has normalised. What an agreement weighs is learned from the records.

- ``find_pairs(records, rules)``: the pairs, the best first; with ``against``, only pairs across. ``scan`` says more: the
  weights, and what was too common to be sought by.
- Each :class:`Pair` has a tier: ``same`` is a decision, ``suspect`` is for somebody to look at. ``explain(pair)`` says why.
- ``cluster(pairs, records)``: all records of one customer each; what contradicts is held apart and said.
- :class:`DuplicateIndex`: ``add(id, record)``, ``remove(id)``, ``probe(record)`` for one new customer against all.
- :class:`Comparer`: how one kind of value is compared; hand in your own by name (``comparers=``).
"""

from crmcore.domain.matching import ORGANISATIONS, PEOPLE, FieldRule, MatchRules
from crmcore.rules.duplicates.blocking import SkippedBlock
from crmcore.rules.duplicates.clusters import Clusters, cluster
from crmcore.rules.duplicates.comparers import COMPARERS, Comparer
from crmcore.rules.duplicates.explanation import Agreement, Explanation, explain
from crmcore.rules.duplicates.forms import Values
from crmcore.rules.duplicates.grades import CLOSE, DIFFERENT, SIMILAR
from crmcore.rules.duplicates.index import DuplicateIndex
from crmcore.rules.duplicates.pairs import Decision, Match, Pair, Scan, Tier, find_pairs, scan
from crmcore.rules.duplicates.weights import Weights

__all__ = [
    "CLOSE",
    "COMPARERS",
    "DIFFERENT",
    "ORGANISATIONS",
    "PEOPLE",
    "SIMILAR",
    "Agreement",
    "Clusters",
    "Comparer",
    "Decision",
    "DuplicateIndex",
    "Explanation",
    "FieldRule",
    "Match",
    "MatchRules",
    "Pair",
    "Scan",
    "SkippedBlock",
    "Tier",
    "Values",
    "Weights",
    "cluster",
    "explain",
    "find_pairs",
    "scan",
]
