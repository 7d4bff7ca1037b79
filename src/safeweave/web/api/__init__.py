"""The API for machines: JSON under /api, FHIR R4 under /fhir, beside the hospital door that keeps its addresses.

Read `call.py` first: it is all that an endpoint sees. The permissions are those of the pages, in the role of the
client's account; `openapi.py` describes every endpoint from the types it answers with.
"""

from safeweave.web.api import again, desk, eligibility, fhir, plain, smart, submitting, subscribing, what_if
from safeweave.web.api.call import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = (
    *plain.endpoints.found,
    *desk.endpoints.found,
    *what_if.endpoints.found,
    *again.endpoints.found,
    *fhir.endpoints.found,
    *submitting.endpoints.found,
    *subscribing.endpoints.found,
    *eligibility.endpoints.found,
    *smart.endpoints.found,
)
