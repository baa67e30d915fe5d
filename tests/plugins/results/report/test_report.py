"""The report says what was found, shows no text as HTML, and is well-formed and readable."""

import copy
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from embedrun_plugins.results.comparison import of_run
from embedrun_plugins.results.report import palette, report
from embedrun_plugins.results.report.axes import Scale, labels
from embedrun_plugins.results.report.cases import changed
from embedrun_plugins.results.report.markup import POLICY, element, text

INLINE = {"abbr", "b", "span", "i"}
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """The tree's tags in order, its headings, and its words; fails where an element is not closed."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[tuple[str, dict]] = []
        self.tags: list[tuple[str, dict, tuple[str, ...]]] = []
        self.words = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs), tuple(name for name, _ in self.open)))
        self.words += "" if tag in INLINE else " "
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag
        self.words += "" if tag in INLINE else " "

    def handle_data(self, data):
        if not self.open or self.open[-1][0] != "style":
            self.words += data

    def named(self, tag):
        return [attributes for name, attributes, _ in self.tags if name == tag]


def shown(source: str) -> str:
    return " ".join(Page(source).words.split())


def test_the_verdict_comes_first_one_sentence_for_each_size(made):
    words = shown(report.of_run(made.write()))
    first = words[: words.index("Scores nDCG@10")] if "Scores nDCG@10" in words else words
    assert first.index("Verdict") < 400
    assert "differs from base: nDCG@10 at full size (32 dimensions) is 0.521 against 0.521, +0.000" in words
    assert "nDCG@10 at 16 dimensions is" in words
    assert "on 12 held-out queries" in words
    assert re.search(r"With these queries a gain would have to be about 0\.\d+ or more to be seen", words)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"verdict": "better", "low": 0.124, "high": 0.213, "difference": 0.167}, "Tuned is better than base: nDCG@10"),
        ({"verdict": "worse", "low": -0.2, "high": -0.1, "difference": -0.15}, "Tuned is worse than base: nDCG@10"),
        (
            {"few": True, "units": 12, "units_differing": 4},
            "4 of 12 independent units differ, or few carry it all: not",
        ),
        ({"won": 0, "lost": 0, "low": 0.0, "high": 0.0}, "Tuned and base do equally well on every query: nDCG@10"),
        ({"verdict": None, "low": None, "high": None, "queries": None, "won": None}, "There is no interval, since"),
    ],
    ids=["better", "worse", "few", "same", "none"],
)
def test_each_verdict_is_put_into_plain_words(made, changes, sentence):
    for row in made.data["comparisons"]["information_retrieval"]:
        row.update(changes)
    words = shown(report.of_run(made.write()))
    assert sentence in words
    if changes.get("verdict") == "better":
        assert "+0.167 (95% interval +0.124 to +0.213, on 12 held-out queries)" in words


@pytest.mark.parametrize(
    ("verdict", "metric", "sentence"),
    [
        ("better", "recall@10", "with tuned; with base, 60. Take tuned: by nDCG@10 it is better than base."),
        (
            "better",
            "recall@10",
            "Of 100 passages that answer a question, 77 are among its first ten results with tuned; with base, 60.",
        ),
        (
            "better",
            "hit_rate@3",
            "Of 100 questions, 77 find a passage that answers them among the first three results with tuned",
        ),
        ("worse", "recall@10", "Keep base: Tuned is worse by nDCG@10."),
        ("can't tell", "recall@10", "Nothing shows yet that another model is better by nDCG@10: keep base"),
        (None, "recall@10", "There is no verdict on which model to take"),
    ],
)
def test_what_to_do_is_said_in_words_that_anyone_understands(made, verdict, metric, sentence):
    scores = made.data["scores"]["information_retrieval"]
    scores["base"][metric], scores["tuned"][metric] = 0.6, 0.77
    for row in made.data["comparisons"]["information_retrieval"]:
        row["verdict"] = verdict
    assert sentence in shown(report.of_run(made.write()))


def test_a_model_that_is_worse_elsewhere_is_not_praised_alone(made):
    evaluators = made.data["scores"], made.data["comparisons"], made.data["headlines"]
    for part in evaluators:
        part["general"] = copy.deepcopy(part["information_retrieval"])
    for name, verdict in (("information_retrieval", "better"), ("general", "worse")):
        for row in made.data["comparisons"][name]:
            row["verdict"] = verdict
    words = shown(report.of_run(made.write()))
    assert "Take tuned: by nDCG@10 it is better than base. But" in words
    assert "But it is worse by general." in words


def test_a_metric_says_what_it_measures(made):
    titles = {attributes["title"] for attributes in Page(report.of_run(made.write())).named("abbr")}
    assert any("1 if all stand first" in title and "first 10" in title for title in titles)


def test_a_last_loss_of_fewer_steps_is_no_point_of_the_curve(made):
    history = made.artifact("trainer") / "training_history.json"
    steps = (10, 20, 30, 31)
    history.write_text(json.dumps({"log": [{"step": step, "loss": 9.0 if step == 31 else 1.0} for step in steps]}))
    words = shown(report.of_run(made.write()))
    assert "at step 30" in words
    assert "9.000" not in words


def test_vectors_at_full_size_are_not_called_a_saving(made):
    scores = made.data["scores"]["information_retrieval"]
    for name in scores["tuned"]:
        if name.startswith("dim_"):
            scores["tuned"][name] = 0.0
    assert "100% of the storage" not in shown(report.of_run(made.write()))


def test_models_to_compare_with_stand_beside_the_run_s_own(rivalled):
    source = report.of_run(rivalled.write())
    words = shown(source)
    assert "differs from base: nDCG@10 at full size (32 dimensions) is" in words
    assert re.search(r"tuned differs from titan: nDCG@10 is 0\.\d+ against 0\.\d+, .0", words)
    assert "metric base tuned titan cohere difference 95% interval verdict" in words
    assert "Tuned against other models metric, model model tuned difference" in words
    assert "nDCG@10 at 16, titan" in words
    assert "nDCG@10 at 16, cohere" not in words
    assert {"point rival-1", "point rival-2"} <= {circle.get("class") for circle in Page(source).named("circle")}
    contest = of_run(rivalled.write())[0]
    assert [contender.name for contender in contest.contenders] == ["base", "tuned"]
    assert contest.row("ndcg@10", contest.last)["against"] == "base"
    # The cases and the storage are about the run's own models.
    assert "from base to tuned." in words
    assert "base base, kept tuned tuned, kept 32" in words


def test_a_comparison_of_an_older_run_is_against_base(made):
    for row in made.data["comparisons"]["information_retrieval"]:
        del row["against"]
    assert "tuned differs from base: nDCG@10 at full size" in shown(report.of_run(made.write()))


def test_no_text_of_the_data_becomes_html(made):
    source = report.of_run(made.write())
    page = Page(source)
    assert not {"script", "img", "iframe", "object", "base"} & {name for name, _, _ in page.tags}
    assert not [key for _, attributes, _ in page.tags for key in attributes if key.startswith("on")]
    assert source.count("&lt;script&gt;") >= 5
    assert "Question 3 <script>" in page.words


def test_the_page_refers_to_nothing_outside_itself(made):
    page = Page(report.of_run(made.write()))
    for _, attributes, _ in page.tags:
        assert not {"src", "srcset", "action", "xlink:href"} & attributes.keys()
        assert attributes.get("href", "data:,") == "data:,"
    assert {"http-equiv": "Content-Security-Policy", "content": POLICY} in page.named("meta")
    css = "".join(re.findall(r"<style>(.*?)</style>", report.of_run(made.write()), re.DOTALL))
    assert "url(" not in css
    assert "@import" not in css


def test_the_page_is_well_formed_and_accessible(made):
    page = Page(report.of_run(made.write()))
    levels = [int(name[1]) for name, _, _ in page.tags if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert page.named("html") == [{"lang": "en"}]
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.named("th"))
    assert len(page.named("caption")) == len(page.named("table"))
    ids = [attributes["id"] for _, attributes, _ in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for name, attributes, _ in page.tags:
        for reference in attributes.get("aria-labelledby", "").split():
            assert reference in ids, name


def test_every_plot_has_a_title_a_description_and_its_figures_in_a_table(made):
    source = report.of_run(made.write())
    plots = [attributes for attributes in Page(source).named("svg") if attributes.get("class") == "plot"]
    assert len(plots) == 4
    assert all(plot["role"] == "img" and plot["aria-labelledby"] for plot in plots)
    inner = [attributes for attributes in Page(source).named("svg") if attributes.get("class") != "plot"]
    assert all(attributes.get("aria-hidden") == "true" for attributes in inner)
    assert len(re.findall(r"<svg[^>]*><title[^>]*>[^<]+</title><desc[^>]*>[^<]+</desc>", source)) == 4
    for figure in re.split("<figure>", source)[1:]:
        assert "<table" in figure


@pytest.mark.parametrize("colours", [palette.LIGHT, palette.DARK], ids=["light", "dark"])
def test_letters_and_marks_stand_out_from_what_is_behind_them(colours):
    letters = ("ink", "muted", "link", "good", "bad", "unsure")
    behind = {"ink": ("page", "card", "inset"), "muted": ("page", "card", "inset")}
    for name in letters:
        for ground in behind.get(name, ("card", "inset")):
            assert palette.contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    for name in (*palette.SERIES, *palette.RIVALS):
        assert palette.contrast(colours[name], colours["card"]) >= 3, name


def test_contrast_is_as_wcag_says():
    assert palette.contrast("#000000", "#ffffff") == pytest.approx(21)
    assert palette.contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)


def test_quality_and_storage_are_set_against_each_other(made):
    words = shown(report.of_run(made.write()))
    assert "Quality against storage" in words
    assert "dimensions bytes per vector GB per million base base, kept tuned tuned, kept 32 128 0.128" in words
    assert "64 0.064" in words


def test_wins_and_losses_show_texts_and_ranks(made):
    run = made.write()
    won, lost = changed(of_run(run)[0])
    # The right passage of query i ranks (i + 1) % 4 before and i % 4 after, so queries 3, 7 and 11 lose.
    assert {case.query.split()[1] for case in lost} == {"3", "7", "11"}
    assert {(case.rank_before, case.rank_after) for case in lost} == {(1, 4)}
    assert {(case.rank_before, case.rank_after) for case in won[:3]} == {(2, 1)}
    assert won[0].right is not None
    assert won[0].right.startswith("Passage ")
    assert won[0].wrong is None
    assert lost[0].wrong is not None
    words = shown(report.of_run(run))
    assert "rank 1 → 4" in words
    assert "Of 12 queries 9 gained, 3 lost and 0 stayed the same." in words


def test_the_data_are_described(made):
    words = shown(report.of_run(made.write()))
    assert "The test split has 12 queries on 12 passages; 3 of these passages and 0 of these queries are also" in words
    assert "could reach nDCG@10 0.900 in it, and 0.700 if equal passages were not counted as one" in words
    assert "The model reads 6 tokens of a text; at least 12 of 12 documents looked at (100.0%) are cut." in words
    assert "source: row 3 is odd" in words


def test_the_training_is_shown_from_the_models_history(made):
    words = shown(report.of_run(made.write()))
    assert "Tuned is the checkpoint of step 20." in words
    assert "nDCG@10 on the dev split (dim_8_ndcg@10)" in words


def test_a_run_that_failed_in_training_shows_what_there_is(made):
    del made.data["scores"], made.data["comparisons"], made.data["headlines"]
    made.data.update(status="failed", error="trainer failed: boom <b>", scores={})
    made.data["stages"] = made.data["stages"][:1]
    made.stage("trainer", "sentence_transformers", error="RuntimeError: boom")
    run = made.write()
    events = [
        {"event": "log", "step": 1, "loss": 2.0},
        {"event": "log", "step": 2, "loss": float("nan")},
        {"event": "evaluation", "step": 2, "eval_ndcg@10": 0.5},
        {"event": "log", "step": 1, "loss": 1.5},
    ]
    (run.folder / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    words = shown(report.of_run(run))
    assert "The stage trainer failed. trainer failed: boom <b>" in words
    assert "No model was scored." in words
    assert "Training loss step model value 1 tuned 1.5000" in words
    assert "nDCG@10 on the dev split" in words


def test_unmet_requirements_and_interruptions_are_said_first(made):
    made.data.update(status="failed", error="…", unmet=["dim_8_ndcg@10 of tuned must be better <i>"])
    words = shown(report.of_run(made.write()))
    assert words.index("Requirements not met") < words.index("nDCG@10 at full size")
    made.data.update(status="interrupted", unmet=[], error=None)
    assert "The run was stopped before its end" in shown(report.of_run(made.write()))


def test_a_store_that_was_cleared_leaves_the_scores(made):
    made.data["store"] = "nowhere"
    words = shown(report.of_run(made.write()))
    assert "nDCG@10 at full size is" in words
    assert "Wins and losses" not in words


def test_a_bug_in_the_report_is_told_and_logged_but_fails_nothing(made, capsys, monkeypatch):
    run = made.write()
    monkeypatch.setattr(report.health, "health", lambda runs: runs[len(runs)])
    report.write(run)
    assert not (run.folder / "report.html").exists()
    assert "report.html could not be written" in capsys.readouterr().err
    assert "Traceback" in (run.folder / "log.jsonl").read_text()


def test_the_report_imports_nothing_heavy():
    program = "import sys; from embedrun_plugins.results.report import report; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "torch", "transformers", "jinja2", "huggingface_hub"} & set(loaded)


def test_what_html_cannot_hold_is_replaced():
    assert text("a\x00b\ud800c<") == "a\ufffdb\ufffdc&lt;"
    assert element("p", "<b>", element("b", "x"), title='"') == '<p title="&quot;">&lt;b&gt;<b>x</b></p>'


def test_scales_hold_single_and_equal_values():
    for values in ([0.5], [0.0, 0.0], [], [float("nan"), 1.0]):
        scale = Scale.around(values, 0, 100)
        assert scale.low < scale.high
        assert labels(scale.ticks())
    assert labels([0, 1000, 2000]) == ["0", "1k", "2k"]
    assert labels([0.25, 0.5]) == ["0.25", "0.50"]


# The runs below are carried out by the engine, with stages that need no torch.

RECIPE = """
model: ./model
plugins: [fakes.py]
source: fake
loss: fake
trainer: {type: fake}
evaluator: {type: fake}
"""


@pytest.fixture
def demo(project):
    project.write("demo.yaml", RECIPE)
    project.write("model/config.json", '{"steps": []}')
    project.write("model/model.safetensors", "")
    return project


def test_a_run_leaves_a_report_also_when_all_is_reused_and_when_a_limit_fails(demo):
    assert demo.run("demo.yaml").code == 0
    assert demo.run("demo.yaml").code == 0
    assert demo.run("demo.yaml", "--set", "evaluator.least=0.9").code == 1
    first, second, third = sorted(demo.folder.glob("runs/demo/*/report.html"))
    assert "Can't tell whether tuned differs from base: nDCG@10 is 0.500 against 0.200, +0.300" in shown(
        first.read_text("utf-8")
    )
    assert "all of them reused" in shown(second.read_text("utf-8"))
    assert "Requirements not met fake: ndcg@10 is 0.50, below 0.9" in shown(third.read_text("utf-8"))


def test_compare_writes_the_same_kind_of_report_for_two_runs(demo):
    demo.run("demo.yaml")
    demo.run("demo.yaml", "--set", "trainer.epochs=5")
    first, second = sorted((demo.folder / "runs/demo").iterdir())
    done = demo.run("compare", str(first), str(second), "--html", "reports/two.html")
    assert done.code == 0, done.err
    words = shown((demo.folder / "reports/two.html").read_text("utf-8"))
    assert "Can't tell whether second differs from first: nDCG@10 is 0.700 against 0.500" in words
    assert "How the recipes differ" in words
    assert '+ "epochs": 5' in words
