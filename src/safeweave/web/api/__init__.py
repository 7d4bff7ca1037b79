"""The API for machines: JSON under /api, FHIR R4 under /fhir, beside the hospital door that keeps its addresses.

Read `call.py` first: it is all that an endpoint sees. The permissions are those of the pages, in the role of the
client's account; `openapi.py` describes every endpoint from the types it answers with.
"""

from safeweave.web.api import eligibility, fhir, plain, smart, submitting, subscribing
from safeweave.web.api.call import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = (
    *plain.endpoints.found,
    *fhir.endpoints.found,
    *submitting.endpoints.found,
    *subscribing.endpoints.found,
    *eligibility.endpoints.found,
    *smart.endpoints.found,
)
