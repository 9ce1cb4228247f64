"""claimhub: from what an EHR says to a posted payment, with every message and every cent accounted for."""

__version__ = "0.1.0"
