"""What the report says of audited negatives."""

from __future__ import annotations

from embedrun_plugins.results.report import report


def test_the_report_shows_the_worst_negatives_with_their_texts(make):
    made = make()
    row = {"query": "who <b>?", "negative": "He & she.", "answer": "They.", "score": 0.91, "answer_score": 0.9}
    found = {"judge": "a/b", "sampled": 100, "false": 4, "share": 0.04, "low": 0.016, "high": 0.098, "worst": [row]}
    made.stage("negatives", "dense", notes={"negatives": 60, "audit": found})
    page = report.of_run(made.write())
    assert "Of 100 mined negatives looked at, 4 seem to be answers (4.0%, 95% interval 1.6% to 9.8%)" in page
    assert "who &lt;b&gt;?" in page
    assert "He &amp; she." in page
