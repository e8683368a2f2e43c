"""What a team agreed: policies as data, one TOML file each, loaded and checked."""

from crmcore.playbooks.loading import BUNDLED, load
from crmcore.playbooks.model import COMPOUND_FIELDS, DERIVED_FIELDS, GUARDS, MOMENTS, Playbook

__all__ = ["BUNDLED", "COMPOUND_FIELDS", "DERIVED_FIELDS", "GUARDS", "MOMENTS", "Playbook", "load"]
