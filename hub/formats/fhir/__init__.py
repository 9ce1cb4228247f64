"""FHIR R4 as plain JSON: what the hub needs to know of a resource or notification without the models.

The reading side is safe on the reactor and touches nothing but the bytes; :mod:`hub.formats.fhir.check` loads
the models of ``fhir.resources`` and belongs in workers.
"""
