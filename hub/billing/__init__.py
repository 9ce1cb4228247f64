"""Visits, charges, claims, acknowledgements, remittances, the ledger and the work queues."""
