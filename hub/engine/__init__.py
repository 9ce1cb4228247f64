"""Channels at run time: intake, steps, lanes, deliveries, workers. Knows no HL7, X12, FHIR or money."""
