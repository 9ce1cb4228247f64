"""Bytes to views and back: HL7 v2, X12, FHIR. Knows no channels and no database."""
