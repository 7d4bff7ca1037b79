"""Every endpoint of the API."""

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
