"""Who may do what, and who did: users, sessions, the audit chain."""
