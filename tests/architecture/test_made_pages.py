"""What the code says of itself stands in the documentation as it is: `make docs` writes it anew."""

import pytest
from write_docs import ROOT, flow_table, follows, made_pages, setting_comments, told_events

from safeweave.cases.lifecycle import STAGES, TABLE, picture
from safeweave.worker import Outside

PAGES = made_pages()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_made_page_is_as_the_code_says(path):
    assert path.read_text(encoding="utf-8") == PAGES[path], "run `make docs`"


def test_the_flow_page_has_a_row_for_every_event_that_is_followed():
    table = flow_table()
    for event, handlers in follows().items():
        row = next(line for line in table.splitlines() if line.startswith(f"| `{event.__name__}`:"))
        assert row.count("<br>") == len(handlers) - 1
        assert ("calls out" in row) == any(isinstance(handler, Outside) for handler in handlers)


def test_the_case_picture_draws_every_stage():
    drawn = picture()
    assert all(f" {stage}:" in drawn for stage in STAGES)
    assert {after for _, _, after in TABLE} == set(STAGES)


def test_every_event_says_what_happened():
    assert [kind.__name__ for kind in told_events() if not (kind.__doc__ or "").strip()] == []


def test_every_setting_says_what_it_is_for():
    assert [n for n, comment in setting_comments().items() if not comment] == []
