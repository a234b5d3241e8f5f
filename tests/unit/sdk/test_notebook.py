from hanok.sdk.notebook import Facts, Rows, shown


def test_results_stay_what_they_are_and_are_tables_in_a_notebook():
    rows = shown([{"a": 1, "b": 0.123456789}, {"a": None, "c": "<script>"}])
    assert rows == [{"a": 1, "b": 0.123456789}, {"a": None, "c": "<script>"}]
    page = rows._repr_html_()
    assert page.count("<tr>") == 3 and "0.123457" in page
    assert "&lt;script&gt;" in page and "<script>" not in page


def test_an_object_shows_its_lists_as_tables_and_long_lists_end_with_their_number():
    page = shown({"model": "m", "versions": [{"version": i} for i in range(60)]})._repr_html_()
    assert page.count("<table>") == 2 and "10 more rows" in page
    assert isinstance(shown({}), Facts) and isinstance(shown([]), Rows) and shown(3) == 3
