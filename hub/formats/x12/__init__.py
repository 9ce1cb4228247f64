"""X12 5010: a streaming reader and writer, the claim, its answers and the remittance."""
