"""The demonstration: a whole practice, its EHR, clearinghouse and payers, played against a real hub and reconciled."""
