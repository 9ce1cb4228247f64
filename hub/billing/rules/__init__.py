"""Rules as data: what clearinghouses, payers and the practice ask of a claim beyond the guide."""
