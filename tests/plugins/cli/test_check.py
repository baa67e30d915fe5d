"""`check` says which texts are longer than the model reads, as far as the files here tell."""

from __future__ import annotations

import json

import pytest

from embedrun.artifacts import Document, Judgement, Model, Query, RetrievalSet
from embedrun.finished import Finished
from embedrun_plugins.cli.console import RichConsole
from embedrun_plugins.models import cut_texts
from embedrun_plugins.services.plain_console import PlainConsole
from written_documents import tokenizer_only

LONG = " ".join(["word"] * 40)
RECIPE = "model: model\nsource: {source}\nevaluator: information_retrieval\n"


@pytest.fixture
def check(project):
    tokenizer_only(project.folder / "model")
    (project.folder / "model" / "config.json").write_text("{}")

    def checked(source: str) -> str:
        project.write("r.yaml", RECIPE.replace("{source}", source))
        outcome = project.run("check", "r.yaml")
        assert outcome.code == 0, outcome.err
        return outcome.out

    return checked


def rows(count: int, long: int) -> str:
    return "".join(
        json.dumps({"anchor": f"question {n}", "positive": f"{LONG} {n}" if n < long else f"short {n}"}) + "\n"
        for n in range(count)
    )


def test_rows_of_pairs(check, project):
    project.write("faq.jsonl", rows(20, 5))
    shown = check("{type: pairs, path: faq.jsonl, holdout: 0.3}")
    assert (
        "warning: source: of the first texts, 5 of 20 documents (25.0%) are longer than the 32 tokens that the model "
        "reads of one, and are cut: 19.1% of all tokens are lost; raise model.max_length if the model reads more, or "
        "split them\n"
    ) in shown
    assert "queries (" not in shown


def test_the_recipe_s_own_length_counts(check, project):
    project.write("faq.jsonl", rows(20, 5))
    project.write("r2.yaml", RECIPE.replace("{source}", "{type: pairs, path: faq.jsonl, holdout: 0.3}"))
    shown = project.run("check", "r2.yaml", "--set", "model.max_length=4").out
    assert "5 of 20 documents (25.0%) are longer than the 2 tokens" in shown


def test_only_the_first_rows_are_read(check, project):
    project.write("faq.jsonl", rows(1500, 1500))
    assert "1,000 of 1,000 documents (100.0%)" in check("{type: pairs, path: faq.jsonl, holdout: 0.3}")


def test_a_folder_in_beir_layout(check, project):
    project.write("beir/corpus.jsonl", f'{{"_id": "1", "title": "A title", "text": "{LONG}"}}\n')
    project.write("beir/queries.jsonl", '{"_id": "1", "text": "where?"}\n')
    project.write("beir/qrels/test.tsv", "query-id\tcorpus-id\tscore\n1\t1\t1\n")
    assert "1 of 1 documents (100.0%)" in check("{type: beir, path: beir}")


def test_the_files_of_llama_index(check, project):
    for split in ("train", "val"):
        content = {"corpus": {f"{split}1": LONG}, "queries": {f"{split}q": LONG}, "relevant_docs": {}}
        content["relevant_docs"][f"{split}q"] = [f"{split}1"]
        project.write(f"sets/{split}.json", json.dumps(content))
    shown = check("{type: llama_index, path: sets}")
    assert "2 of 2 documents" in shown
    assert "2 of 2 queries" in shown


def test_what_fits_is_said_too(check, project):
    project.write("faq.jsonl", rows(20, 0))
    assert "source: the first 20 documents and 20 queries are no longer than the model reads" in check(
        "{type: pairs, path: faq.jsonl, holdout: 0.3}"
    )


def test_a_model_that_is_not_here_leaves_it_unsaid(check, project):
    project.write("faq.jsonl", rows(20, 5))
    (project.folder / "model" / "tokenizer.json").unlink()
    assert "tokens" not in check("{type: pairs, path: faq.jsonl, holdout: 0.3}")


def test_a_run_warns_where_more_than_one_in_a_hundred_is_cut_with_the_samples_size(tmp_path):
    model = Model(tokenizer_only(tmp_path / "model"))

    def made(long: int) -> RetrievalSet:
        texts = [f"{LONG} {n}" if n < long else f"short {n}" for n in range(2500)]
        documents, query = [Document.of(text) for text in texts], Query.of("where?")
        judged = {"test": [Judgement(query.id, documents[0].id)]}
        return RetrievalSet.write(tmp_path / str(long), documents=documents, queries=[query], qrels=judged)

    assert list(cut_texts.warnings(model, made(0))) == []
    assert list(cut_texts.warnings(model, made(20))) == []
    (warning,) = cut_texts.warnings(model, made(1000))
    assert warning.startswith("334 of 834 documents looked at, of 2,500, (40.0%) are longer than the 32 tokens")


@pytest.mark.parametrize("console", [PlainConsole, RichConsole])
def test_a_warning_that_holds_for_several_stages_is_shown_once(console, tmp_path):
    with (tmp_path / "shown").open("w+") as stream:
        shown = console(stream)
        for slot in ("base", "trainer", "tuned"):
            shown.started(slot, "kind")
            shown.warning(slot, "texts are cut")
            shown.finished(Finished(slot, "kind", None, seconds=1.0))
        shown.warning("tuned", "something else")
        stream.seek(0)
        text = stream.read()
    assert text.count("texts are cut") == 1
    assert "base: texts are cut" in text
    assert "tuned: something else" in text
