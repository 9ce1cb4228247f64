"""What differs from one athenahealth customer to the next, and what the vendor has to confirm.

Each value here is a question for the vendor's integration team: docs/athena.md lists them. None of it is a fact about
athenahealth but what its public pages suggest, to be set to what yours says.
"""

# Who gave the numbers: the patients' are unique within one practice.
AUTHORITY = "ATHENA"

# What is read when a topic tells of a record. The claim of a visit has its charges, its patient and the insurances;
# the encounter is signed before there is a claim, so nothing is read for it.
READ_FOR = {
    "Claim.create": "claim",
    "Claim.update": "claim",
    "Appointment.schedule": "appointment",
    "Appointment.reschedule": "appointment",
    "Appointment.update": "appointment",
    "Appointment.cancel": "appointment",
    "Appointment.check-in": "appointment",
    "Appointment.check-out": "appointment",
    "Patient.update": "patient",
}

# What a person must look at, because no read can say it: the queue, and why.
HELD_FOR = {
    "Claim.delete": ("charge review", "The EHR deleted this claim. What was billed of it may have to be taken back."),
    "Patient.merge": ("messages", "The EHR merged two patients. Merge them here, too, once you know which."),
}

# Addresses beneath the practice's, which is the base of the destination.
CLAIM = "claims/{number}"
APPOINTMENT = "appointments/{claim.appointmentid}"
BOOKING = "appointments/{number}"
PATIENT = "patients/{claim.patientid}"
INSURANCES = "patients/{claim.patientid}/insurances"
CHANGED_CLAIMS = (
    "claims/changed?leaveunprocessed=true&showprocessedstartdatetime={first}%2000%3A00%3A00"
    "&showprocessedenddatetime={last}%2023%3A59%3A59"
)
CLAIMS_OF_PATIENT = "claims?patientid={number}"

# By what the newest of several reads is known, the first that says something. read_at is when the hub began to read:
# a record is read by one at a time, so what was read later is newer. Where the vendor confirms that claim.lastmodified
# changes with everything that is read (patient and insurances, too), put it first.
AS_OF = ("read_at",)

# The parts of a claim.
SERVICE_DATE = "claim.billedservicedate"
PERFORMER = ("claim.renderingproviderid", "claim.billedproviderid")
SUPERVISOR = "claim.supervisingproviderid"
REFERRAL = "claim.referralauthnumber"

# The parts of one of its procedures. The code may come with its modifiers behind commas.
TRANSACTION = "transactionid"
CODE = "procedurecode"
UNITS = "units"
AMOUNT = "chargeamount"
LINE_DIAGNOSES = "icd10codes"

# Which of the claim's diagnoses count, where a procedure does not name its own.
CODESET = "ICD10"

# Appointment states. An open slot is nobody's booking.
STATES = {"f": "booked", "2": "booked", "3": "booked", "4": "booked", "x": "cancelled"}
OPEN_SLOT = "o"
NO_SHOW = "appointmentcancelreasonnoshow"

# The patient's relationship to who holds the insurance.
RELATIONSHIPS = {"1": "self", "2": "spouse", "3": "child"}

# The field of a note's text.
NOTE = "claimnote"
