"""The API for machines: JSON under /api, FHIR R4 under /fhir, beside the hospital door that keeps its addresses.

Read `call.py` first: it is all that an endpoint sees. The permissions are those of the pages, in the role of the
client's account; `openapi.py` describes every endpoint from the types it answers with.
"""
