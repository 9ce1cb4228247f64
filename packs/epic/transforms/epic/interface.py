"""What differs from one Epic customer to the next. Every value here is a question for the interface analyst.

None of it is a fact about Epic: these are what such interfaces often say, to be set to what yours says. The page
docs/epic.md lists the questions.
"""

# Which identifier of PID-3 is the record number: its type (component 5) and, where several have that type, its
# authority (component 4). Epic sends several: one per service area, an enterprise id, a portal name.
RECORD_TYPE = "MR"
RECORD_AUTHORITY = ""

# What billing keeps a visit's charges together by: the hospital account (HAR). Professional billing may send the
# guarantor account or the CSN in its place.
ACCOUNT = "PID-18.1"

# The contact serial number (CSN): one for each visit.
VISIT_NUMBER = ("PV1-19.1", "ZPV-2.1")

# Sending applications (MSH-3) whose DFTs are no charges. Supply-usage interfaces send DFT, and what they report is
# charged elsewhere.
NO_CHARGES_FROM = ("OPTIME_SUPPLY",)

# FT1-6: what kind of line it is. A voided charge may also come as CG with a negative amount.
KINDS = {"CG": "charge", "CD": "credit", "CR": "credit"}

# Where the billable code is, in order. FT1-7 may be Epic's own charge code; codes.csv then says what it is.
CODE = ("FT1-25.1", "FT1-7.1")

# Types of XCN identifiers (component 13): the NPI, and Epic's own provider record, which providers.csv translates.
NPI = "NPI"
PROVIDER_RECORD = "PROVID"

# PV1-3 component and FT1 fields that hold the department's number; departments.csv says which of ours that is.
VISIT_DEPARTMENT = "PV1-3.1"
CHARGE_DEPARTMENT = ("FT1-13.1", "FT1-16.1")

# IN1-3 is Epic's own payor number at most sites; payors.csv translates it to the payer's id.
PAYOR = "IN1-3.1"
MEMBER_ID = ("IN1-36", "IN1-49.1")

# Who we are in what we send, and what Epic calls itself (MSH-3 to MSH-6).
OUR_APPLICATION, OUR_FACILITY = "CLAIMHUB", "HUB"
EPIC_APPLICATION, EPIC_FACILITY = "EPIC", "EPIC"

# MSH-11 of what we send: T for a test system, P for production.
PROCESSING_ID = "T"

# FT1-6 of what we post. Whether yours takes denials (no money moves) is a question; None leaves them out.
PAYMENT, ADJUSTMENT, DENIAL = "PY", "AJ", "DN"

# Whether a registration without IN1 has its insurance read by FHIR. Off, it says nothing of insurance.
READ_INSURANCE = True

# How identifiers are called in FHIR. Epic's are OIDs of each customer; these are examples.
CSN_SYSTEM = "urn:oid:1.2.840.114350.1.13.0.1.7.3.698084.8"
MRN_SYSTEM = "urn:oid:1.2.840.114350.1.13.0.1.7.5.737384.14"
HAR_SYSTEM = "urn:oid:1.2.840.114350.1.13.0.1.7.2.726582"
DEPARTMENT_SYSTEM = "urn:oid:1.2.840.114350.1.13.0.1.7.2.686980"
PAYOR_SYSTEM = "urn:oid:1.2.840.114350.1.13.0.1.7.2.678671"
NPI_SYSTEM = "http://hl7.org/fhir/sid/us-npi"
