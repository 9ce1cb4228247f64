"""What the pages do, for programs: ``/api/v1``, described by the OpenAPI document that the code itself makes."""
