"""FHIR R4: notifications and resources on plain JSON."""
