"""Denials: what a payer refuses, what is done about it, by when, and what came of it."""
