"""What a worker enforces itself: its owner's limits, and a ledger of what it has sent of its data."""

from gradwire.worker.privacy.enforcement import Privacy
from gradwire.worker.privacy.ledger import Ledger
from gradwire.worker.privacy.limits import Limits, budget_from, check_assignment

__all__ = ["Ledger", "Limits", "Privacy", "budget_from", "check_assignment"]
