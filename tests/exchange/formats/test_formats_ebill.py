from datetime import date

import pytest
from given_messages import EXAMPLES, HOSPITAL, at, only, refused, taken

from safeweave.errors import Malformed
from safeweave.events import BillIssued, BillReversed, Identifier
from safeweave.exchange.formats import Limits, Sender, read
from safeweave.facts import BillRef

BILL = EXAMPLES["ebill"]


def issued(xml, sender=HOSPITAL) -> BillIssued:
    told = only(xml, sender)
    assert isinstance(told, BillIssued)
    return told


def without_line_list(xml=BILL):
    head, rest = xml.split("<AuxDetails>")
    return head + rest.split("</AuxDetails>")[1]


def test_without_a_line_list_there_is_one_line_per_charge_class():
    told = issued(without_line_list())
    assert not told.itemised
    assert [(line.category, line.catalogue_class, line.amount) for line in told.bill.lines][:2] == [
        ("06", "", 320000),
        ("01", "", 18000),
    ]
    assert sum(line.amount for line in told.bill.lines) == told.bill.total


def test_a_line_list_with_a_line_without_class_is_not_used():
    reading = taken(BILL.replace("<AuxItemRemark>丙类</AuxItemRemark>", ""))
    (told,) = reading.events
    assert isinstance(told, BillIssued)
    assert not told.itemised
    assert {line.catalogue_class for line in told.bill.lines} == {""}
    assert reading.notes == ("line list without catalogue classes; its summary is read",)


@pytest.mark.parametrize(
    ("remark", "class_"), [("自费", "丙"), ("（乙）10%", "乙"), ("甲", "甲"), ("丙类 全自费", "丙")]
)
def test_the_remark_begins_with_the_class(remark, class_):
    assert issued(BILL.replace("丙类", remark)).bill.lines[6].catalogue_class == class_


def test_both_forms_of_date_are_read():
    told = issued(BILL.replace("<IssueDate>20260306<", "<IssueDate>2026-03-06<").replace("2026-03-03", "20260303"))
    assert told.occurred_at == at("2026-03-06T15:20:41")
    assert (told.bill.on, told.first_day) == (date(2026, 3, 6), date(2026, 3, 3))


def test_the_masked_payer_code_is_left_out_and_a_whole_one_is_read():
    assert issued(BILL).person.identifiers == (Identifier("mr", "B0001234"),)
    whole = issued(BILL.replace("110105********002X", "11010519491231002X"))
    assert whole.person.identifiers[0] == Identifier("resident_id", "11010519491231002X")


def test_gb18030_is_read_as_declared():
    raw = ('<?xml version="1.0" encoding="GB18030"?>\n' + BILL).encode("gb18030")
    (told,) = taken(raw).events
    assert isinstance(told, BillIssued)
    assert told.person.name == "测试甲"


def test_a_reissue_names_the_bill_it_replaces():
    related = "<RelatedInvoiceCode>33060226</RelatedInvoiceCode><RelatedInvoiceNumber>0000000001</RelatedInvoiceNumber>"
    told = issued(BILL.replace("<PrepayAmount>", related + "<PrepayAmount>"))
    assert told.bill.replaces == BillRef("33060226", "0000000001")


def test_totals_that_disagree_are_facts_not_faults():
    told = issued(BILL.replace("<TotalAmount>7600.00<", "<TotalAmount>7599.00<").replace("4853.50", "1.00"))
    assert (told.bill.total, told.bill.fund) == (759900, 100)


@pytest.mark.parametrize(
    ("kind", "fund", "social"),
    [
        ("职工基本医疗保险", "4853.50", "settled"),
        ("自费", "0.00", "none"),
        ("", "0.00", "none"),
        ("城乡居民", "0.00", "settled"),
    ],
)
def test_whether_the_social_insurance_settled_is_read_from_type_and_amounts(kind, fund, social):
    xml = BILL.replace("职工基本医疗保险", kind).replace("<FundPayAmount>4853.50", f"<FundPayAmount>{fund}")
    assert issued(xml).bill.social == social


def test_without_the_four_amounts_the_settlement_is_not_known():
    assert issued(BILL.replace("<OwnPayAmount>2246.50</OwnPayAmount>", "")).bill.social is None


def test_an_outpatient_bill_names_its_visit():
    xml = (
        without_line_list()
        .replace("住院收费", "门诊收费")
        .replace("<HospitalizationNumber>ZY20260301</HospitalizationNumber>", "<PatientNumber>MZ1</PatientNumber>")
        .replace("<InHospitalDate>2026-03-03</InHospitalDate><OutHospitalDate>2026-03-06</OutHospitalDate>", "")
    )
    assert (issued(xml).bill.kind, issued(xml).visit) == ("outpatient", "MZ1")


def test_unknown_elements_and_classes_are_kept_as_notes():
    reading = taken(
        without_line_list()
        .replace("<Gender>", "<大病保险支付>1.00</大病保险支付><Gender>")
        .replace("<ItemCode>06</ItemCode><ItemName>手术费", "<ItemCode>77</ItemCode><ItemName>新费")
    )
    assert "MainExt/大病保险支付 kept, not read" in reading.notes
    assert 'charge class "77" is not known' in reading.notes
    (told,) = reading.events
    assert isinstance(told, BillIssued)
    assert told.bill.lines[0].category == "77"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (("<FundPayAmount>4853.50", "<FundPayAmount>much"), "MainExt/FundPayAmount"),
        (("<FundPayAmount>4853.50", "<FundPayAmount>4853.501"), "MainExt/FundPayAmount"),
        (("<TotalAmount>7600.00</TotalAmount>", ""), "Main/TotalAmount"),
        (("<IssueDate>20260306", "<IssueDate>20260230"), "Main/IssueDate"),
        (("<EInvoiceNumber>0012345678", "<EInvoiceNumber>"), "Main/EInvoiceNumber"),
        (("<AuxItemAmount>900.00", "<AuxItemAmount>9 00"), "AuxDetails/AuxItem[7]/AuxItemAmount"),
        (("<CurrencyType>CNY", "<CurrencyType>JPY"), "Main/CurrencyType"),
        (("<TotalAmount>7600.00", "<TotalAmount>-7600.00"), "MainExt/RelatedInvoiceNumber"),
        (("<CaseNumber>B0001234", "<CaseNumber><b>B</b>"), "MainExt/CaseNumber"),
        (("<MainExt>", "<MainExt><OwnPayAmount>1.00</OwnPayAmount>"), "MainExt/OwnPayAmount"),
    ],
)
def test_a_fault_is_told_with_its_element_and_line(change, field):
    fault = refused(BILL.replace(*change))
    assert fault.field == field
    assert fault.line > 0


@pytest.mark.parametrize(
    "trick",
    [
        '<!DOCTYPE EInvoice [<!ENTITY x SYSTEM "file:///etc/hostname">]>' + BILL.replace("测试甲", "&x;"),
        '<!DOCTYPE EInvoice SYSTEM "http://example.invalid/a.dtd">' + BILL,
        '<!DOCTYPE EInvoice [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        + BILL.replace("测试甲", "&b;"),
        "<EInvoice>" + "<a>" * 400 + "</a>" * 400 + "</EInvoice>",
        BILL.replace("测试甲", "&nothing;"),
        BILL[:-20],
        '<?xml version="1.0" encoding="KLINGON"?>' + BILL,
        "<Bundle xmlns='http://hl7.org/fhir'/>",
        "<Invoice/>",
    ],
)
def test_tricks_of_xml_are_refused(trick):
    assert "/etc" not in str(refused(trick))


def test_a_bill_of_too_many_lines_is_refused():
    with pytest.raises(Malformed, match="8 lines, 5 are allowed"):
        read(BILL.encode(), HOSPITAL, Limits(max_entries=5))


TAX = """<EInvoice><Header><EIid>26332000000000000001</EIid><EInvoiceTag>SWEI3300</EInvoiceTag></Header><EInvoiceData>
<SellerInformation><SellerIdNum>91330200MA2000000X</SellerIdNum></SellerInformation>
<BuyerInformation><BuyerName>测试甲</BuyerName></BuyerInformation>
<BasicInformation><TotalTax-includedAmount>106.00</TotalTax-includedAmount></BasicInformation>
<IssuItemInformation><ItemName>*医疗服务*治疗费</ItemName><Amount>100.00</Amount><ComTaxAm>6.00</ComTaxAm></IssuItemInformation>
</EInvoiceData><TaxSupervisionInfo><InvoiceNumber>26332000000000000001</InvoiceNumber>
<IssueTime>2026-03-06 15:20:41</IssueTime></TaxSupervisionInfo></EInvoice>"""


def test_a_tax_invoice_is_a_bill_of_which_the_social_part_is_not_known():
    told = issued(TAX)
    assert told.bill.key == "SWEI-26332000000000000001"
    assert (told.bill.total, told.bill.social, told.itemised) == (10600, None, False)
    assert [(line.category, line.amount) for line in told.bill.lines] == [("05", 10600)]
    assert told.occurred_at == at("2026-03-06T15:20:41")


def test_a_tax_invoice_in_the_fiscal_layout_has_no_social_part_either():
    told = issued(BILL.replace("CZ-EI-33", "SWEI3300").replace("<EInvoiceCode>33060226</EInvoiceCode>", ""))
    assert (told.bill.code, told.bill.social) == ("SWEI", None)


def test_a_red_tax_invoice_reverses_the_one_it_names():
    xml = TAX.replace(">106.00<", ">-106.00<").replace(">100.00<", ">-100.00<").replace(">6.00<", ">-6.00<")
    assert refused(xml).field == "BasicInformation/TotalTax-includedAmount"
    told = only(xml.replace("<BasicInformation>", "<BasicInformation><OriginalInvoiceNumber>1</OriginalInvoiceNumber>"))
    assert isinstance(told, BillReversed)
    assert told.bill == BillRef("SWEI", "1")


def test_a_sender_for_several_hospitals_tells_whose_bill_it_is():
    assert issued(BILL, Sender(id="city", hospital="")).hospital == "12330200MB10000025"
