"""Whether a bank file keeps its ISO 20022 schema, by the models that pyiso20022 generates from it.

Every element must be known, in schema order, with all required ones present and every length, pattern, digit and code
respected. The official XSD files are not copied here; the models carry the same facets.
"""

import re
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from importlib import import_module
from typing import Any

from lxml import etree
from xsdata.formats.dataclass.parsers import XmlParser
from xsdata.formats.dataclass.parsers.config import ParserConfig
from xsdata.formats.dataclass.serializers import XmlSerializer


def faults(content: bytes) -> list[str]:
    """What the schema forbids in this file; empty if it is valid."""
    root = etree.fromstring(content)
    message = str(etree.QName(root).namespace).rsplit(":", 1)[1]
    model = import_module(f"pyiso20022.{message.split('.')[0]}.{message.replace('.', '_')}")
    strict = ParserConfig(
        fail_on_unknown_properties=True, fail_on_unknown_attributes=True, fail_on_converter_warnings=True
    )
    document = XmlParser(config=strict).from_bytes(content, model.Document)
    found = list(_facets(document, "Document"))
    again = etree.fromstring(XmlSerializer().render(document).encode())
    if [e.tag for e in root.iter("{*}*")] != [e.tag for e in again.iter("{*}*")]:
        found.append("elements are not in schema order")
    return found


def _facets(value: Any, path: str) -> list[str]:
    found = []
    for field in fields(value):
        name = f"{path}/{field.metadata.get('name', field.name)}"
        content = getattr(value, field.name)
        if content is None:
            if field.metadata.get("required"):
                found.append(f"{name} is required")
            continue
        items = content if isinstance(content, list) else [content]
        if len(items) < field.metadata.get("min_occurs", 0) or len(items) > field.metadata.get("max_occurs", 10**9):
            found.append(f"{name} occurs {len(items)} times")
        for item in items:
            if is_dataclass(item):
                found += _facets(item, name)
            elif isinstance(item, str) and not isinstance(item, Enum):
                found += _text_facets(item, field.metadata, name)
            elif isinstance(item, Decimal):
                digits = len(item.as_tuple().digits)
                decimals = -int(item.as_tuple().exponent)
                if digits > field.metadata.get("total_digits", 99) or decimals > field.metadata.get(
                    "fraction_digits", 99
                ):
                    found.append(f"{name}: {item} has too many digits")
                if item < field.metadata.get("min_inclusive", item):
                    found.append(f"{name}: {item} is too small")
    return found


def _text_facets(text: str, metadata: Any, name: str) -> list[str]:
    if not metadata.get("min_length", 0) <= len(text) <= metadata.get("max_length", 10**9):
        return [f"{name}: {len(text)} characters"]
    if "pattern" in metadata and not re.fullmatch(metadata["pattern"], text):
        return [f"{name}: {text!r} does not match {metadata['pattern']}"]
    return []
