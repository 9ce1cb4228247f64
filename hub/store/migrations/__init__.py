"""Migrations of the store, oldest first; each one is kept for ever."""
