"""Reference data: the code sets and code pairs that edits look up, by edition and date of service."""
