"""What a team agreed: policies as data, one TOML file each, loaded and checked."""

from crmcore.domain.playbook import COMPOUND_FIELDS, DERIVED_FIELDS, GUARDS, MOMENTS, Playbook
from crmcore.playbooks.loading import BUNDLED, load

__all__ = ["BUNDLED", "COMPOUND_FIELDS", "DERIVED_FIELDS", "GUARDS", "MOMENTS", "Playbook", "load"]
