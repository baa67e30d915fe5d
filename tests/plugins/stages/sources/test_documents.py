"""What the documents source makes of files of each kind."""

import io
import json

import docx
import pytest

from embedrun.artifacts import Model, RetrievalSet
from embedrun.testing import check_stage
from embedrun_plugins.stages.sources.documents import Documents
from written_documents import pdf, tokenizer_only, unlike, words


def texts(given) -> list[str]:
    return [document.text for document in given.data.documents.values()]


def metadata(given) -> list[dict]:
    return [dict(document.metadata) for document in given.data.documents.values()]


def word_file(build) -> bytes:
    document = docx.Document()
    build(document)
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def test_it_keeps_the_contract(tmp_path, folder):
    place = folder({"a.md": f"# One\n\n{words(0, 30)}\n\n# Two\n\n{words(50, 30)}", "b.txt": words(100, 30)})
    made = check_stage(Documents.model_validate({"path": str(place), "size": 40}), tmp_path / "check")
    assert len(made.documents) > 2


def test_the_set_has_passages_and_no_questions_yet(harvest, folder):
    data = harvest(str(folder({"a.txt": words(0, 20)}))).data
    assert (data.splits, data.queries, data.negatives()) == ((), {}, [])
    assert all(data.qrels(split) == [] and data.relevant(split) == {} for split in ("train", "dev", "test"))
    assert [document.text for document in data.searched("test")] == [words(0, 20)]
    assert RetrievalSet(data.path).documents == data.documents


def test_passages_have_at_most_so_many_tokens_of_the_models_own_and_end_with_sentences(harvest, folder):
    text = " ".join(words(start, 10) for start in range(0, 1000, 10))
    given = harvest(str(folder({"a.txt": text})), size=45, overlap=0)
    made = texts(given)
    assert " ".join(made) == text
    # The full stop is a token, too; the tokenizer's own file says to cut at 8.
    assert {len(passage.split()) for passage in made} == {40}
    assert all(passage.endswith("ends.") for passage in made)
    assert given.notes["tokens"] == 1100
    assert given.notes["longest_passage"] == 44


def test_passages_overlap_by_whole_sentences(harvest, folder):
    text = " ".join(words(start, 10) for start in range(0, 100, 10))
    made = texts(harvest(str(folder({"a.txt": text})), size=45, overlap=12))
    assert [passage.split()[0] for passage in made] == ["Word0", "Word30", "Word60"]


def test_without_a_size_each_document_is_one_passage(harvest, folder):
    given = harvest(str(folder({"a.txt": words(0, 500), "b.txt": words(500, 5)})), size=None)
    assert texts(given) == [words(0, 500), words(500, 5)]


def test_what_the_model_will_not_read_is_told_with_its_share(tmp_path, read, folder):
    place = folder({"a.txt": words(0, 29), "b.txt": words(100, 59)})
    model = Model(tokenizer_only(tmp_path / "model", reads=34, prompt="read me "))
    given = read(Documents.model_validate({"path": str(place)}), model=model)
    # 34 less two special tokens and the two of the prompt; the longer passage has 60 with its full stop.
    assert given.notes["share_of_passages_cut"] == 0.5
    assert given.notes["share_of_tokens_lost"] == pytest.approx(30 / 90)
    assert "1 of 2 passages (50.0%) are longer than the 30 tokens" in given.warnings[0]
    assert "33.3% of all tokens are not read" in given.warnings[0]
    assert "source.size to 30" in given.warnings[0]


def test_nothing_is_said_of_passages_that_the_model_reads_whole(harvest, folder):
    given = harvest(str(folder({"a.txt": words(0, 31)})))
    assert given.warnings == []
    assert given.notes["share_of_tokens_lost"] == 0


def test_markdown_is_split_at_its_headings_and_passages_know_them(harvest, folder):
    text = f"""---
title: "The handbook"
---
<!-- internal -->
# Setting up `it`

{words(0, 15)}

```sh
# no heading
{words(20, 8)}
```

Running [it](https://x.org)
---------------------------

{words(30, 20)}
"""
    given = harvest(str(folder({"a.md": text})), size=45, overlap=0)
    assert [m["section"] for m in metadata(given)] == ["Setting up it", "Running it"]
    assert {m["title"] for m in metadata(given)} == {"The handbook"}
    assert texts(given)[0].startswith("# Setting up `it`")
    assert texts(given)[1].startswith("Running [it]")
    assert "internal" not in "".join(texts(given))


def test_html_is_read_without_menus_and_scripts(harvest, folder):
    text = f"""<!doctype html><html><head><title>Our shop</title><script>var x = "{words(900, 9)}"</script></head>
    <body><nav>Home | About</nav><form><main><h1>Delivery</h1><p>We <b>deliver</b>
    everywhere.<br>Always &amp; quickly.</p><ul><li>by bike</li><li>by <i>van</i></li></ul>
    <table><tr><th>Country</th><th>Days</th></tr><tr><td><p>France</p></td><td><div>3</div></td></tr></table>
    <h2>Returns</h2><p>{words(0, 12)}</p></main></form><footer>© us</footer></body></html>"""
    given = harvest(str(folder({"a.html": text})), size=30, overlap=0)
    assert texts(given) == [
        "Delivery\n\nWe deliver everywhere.\nAlways & quickly.\n- by bike\n- by van\n\nCountry | Days\nFrance | 3",
        f"Returns\n\n{words(0, 12)}",
    ]
    assert [m["section"] for m in metadata(given)] == ["Delivery", "Returns"]
    assert {m["title"] for m in metadata(given)} == {"Delivery"}


def test_a_page_of_xml_is_read_like_any_other(harvest, folder):
    page = (
        f'<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><p>{words(0, 9)}</p></html>'
    )
    assert texts(
        harvest(str(folder({"a.xhtml": page, "b.html": f"<?xml version='1.0'?><note>{words(20, 9)}</note>"})))
    ) == [words(0, 9), words(20, 9)]


def test_pages_may_nest_as_deeply_as_they_like(harvest, folder):
    text = f"{'<div><span>' * 3000}{words(0, 12)}{'</span></div>' * 3000}"
    assert texts(harvest(str(folder({"a.html": text})))) == [words(0, 12)]


def test_an_html_page_is_decoded_as_it_says(harvest, folder):
    page = (
        f'<meta http-equiv="Content-Type" content="text/html; charset=shift_jis"><p>検索の文書です。{words(0, 9)}</p>'
    )
    given = harvest(str(folder({"a.htm": page.encode("shift_jis")})))
    assert texts(given) == [f"検索の文書です。{words(0, 9)}"]
    assert given.notes["invalid_bytes_replaced"] == 0


@pytest.mark.parametrize(("named", "really"), [("iso-8859-1", "windows-1252"), ("utf-16", "utf-8")])
def test_an_html_page_may_say_it_wrongly_as_many_do(harvest, folder, named, really):
    page = f'<meta charset="{named}"><p>We don\u2019t: {words(0, 9)}</p>'
    given = harvest(str(folder({"a.htm": page.encode(really)})))
    assert texts(given) == [f"We don\u2019t: {words(0, 9)}"]
    assert given.notes["unprintable_characters_removed"] == 0


def test_word_documents_give_their_headings_and_tables_in_reading_order(harvest, folder):
    def build(document):
        document.core_properties.title = "Staff rules"
        document.add_heading("Holidays", 1)
        document.add_paragraph(words(0, 10))
        table = document.add_table(2, 3)
        for cell, text in zip(table._cells, ["Year", "Days", "Extra", "2021", "30", ""], strict=True):
            cell.text = text
        table.cell(1, 1).merge(table.cell(1, 2))
        document.add_heading("Sick leave", 2)
        document.add_paragraph(words(20, 15))

    given = harvest(str(folder({"a.docx": word_file(build)})), size=30, overlap=0)
    assert texts(given) == [
        f"Holidays\n\n{words(0, 10)}\n\nYear | Days | Extra\n2021 | 30",
        f"Sick leave\n\n{words(20, 15)}",
    ]
    assert metadata(given)[1] == {"source": "a.docx", "title": "Staff rules", "section": "Sick leave"}


@pytest.mark.parametrize("reader", ["pypdf", "pypdfium2"])
def test_a_pdf_gives_its_pages_title_and_bookmarks(harvest, folder, reader):
    pages = [f"Revenue\n{words(0, 18)}", f"{words(20, 18)}\nCosts\n{words(40, 12)}"]
    data = pdf(pages, title="Annual report", outline=[(1, "Revenue"), (2, "Costs")])
    given = harvest(str(folder({"a.pdf": data})), size=24, overlap=0, pdf_reader=reader)
    assert [(m["pages"], m["section"]) for m in metadata(given)] == [([1], "Revenue"), ([2], "Revenue"), ([2], "Costs")]
    assert {m["title"] for m in metadata(given)} == {"Annual report"}
    assert texts(given)[2] == f"Costs\n{words(40, 12)}"


@pytest.mark.parametrize("reader", ["pypdf", "pypdfium2"])
def test_a_passage_may_run_over_pages(harvest, folder, reader):
    data = pdf([words(0, 10)[:-6] + " goes", f"on here. {words(20, 10)}"])
    given = harvest(str(folder({"a.pdf": data})), pdf_reader=reader)
    assert texts(given) == [f"{words(0, 10)[:-6]} goes on here. {words(20, 10)}"]
    assert metadata(given)[0]["pages"] == [1, 2]


@pytest.mark.parametrize("title", ["0001759509-22-000016", "Microsoft Word - x.docx", "untitled", "report.indd"])
def test_a_title_that_a_program_wrote_is_none(harvest, folder, title):
    assert "title" not in metadata(harvest(str(folder({"a.pdf": pdf([words(0, 9)], title=title)}))))[0]


@pytest.mark.parametrize("reader", ["pypdf", "pypdfium2"])
def test_running_heads_and_page_numbers_are_removed_and_counted(harvest, folder, reader):
    pages = [f"ACME Ltd.{' ' * (n % 2)}\n{unlike(n)}\nTotal 12\nPage {n} of 12" for n in range(1, 13)]
    place = str(folder({"a.pdf": pdf(pages)}))
    given = harvest(place, size=None, pdf_reader=reader, boilerplate=True)
    assert "ACME" not in texts(given)[0]
    assert "Page" not in texts(given)[0]
    assert given.notes["boilerplate_lines_removed"] == 36
    kept = harvest(place, size=None, pdf_reader=reader, boilerplate=False)
    assert texts(kept)[0].count("ACME") == 12
    assert kept.notes["boilerplate_lines_removed"] == 0


def test_a_head_that_alternates_between_left_and_right_pages_is_removed(harvest, folder):
    pages = [f"{'The report' if n % 2 else f'Chapter {n}'}\n{unlike(n)}" for n in range(1, 11)]
    assert harvest(str(folder({"a.pdf": pdf(pages)}))).notes["boilerplate_lines_removed"] == 10


def test_lines_of_a_paragraph_are_joined_and_broken_words_mended(harvest, folder):
    page = """The information that the company gives to all of its infor-
mation holders is long-
term in its nature and covers what every single one of them
should know; the long-term view is the one that counts for us.
Overview
Sales 12 13
Costs 14 15
• a first item of the list"""
    rest = "the long-term view is the one that counts for us."
    joined = "The information that the company gives to all of its information holders is long-term in its nature"
    given = harvest(str(folder({"a.pdf": pdf([page])})))
    assert texts(given)[0].split("\n") == [
        f"{joined} and covers what every single one of them should know; {rest}",
        "Overview",
        "Sales 12 13",
        "Costs 14 15",
        "• a first item of the list",
    ]
    assert given.notes["hyphens_joined"] == 1


def test_a_reader_that_loses_spaces_is_named(harvest, folder):
    sound = ["their revenue grew in every market of the company"] * 12
    lost = ["theirrevenue grew inevery market", "everymarket ofthe company grew"]
    given = harvest(str(folder({"a.pdf": pdf(["\n".join(sound + lost)])})))
    assert "pypdf seems to lose spaces between words (such as" in given.warnings[-1]
    assert "everymarket" in given.warnings[-1]
    assert "pdf_reader: pypdfium2" in given.warnings[-1]
    assert not any("spaces" in warning for warning in harvest(str(folder({"a.pdf": pdf(["\n".join(sound)])}))).warnings)


def test_unprintable_characters_are_removed_and_counted(harvest, folder):
    text = "The o\ufb03ce\x01 is\xa0in\u200b the\x07 cafe\u0301 on the \ufeffleft.\r\nSecond line\t here."
    given = harvest(str(folder({"a.md": text})))
    assert texts(given) == ["The office is in the café on the left.\nSecond line here."]
    assert given.notes["unprintable_characters_removed"] == 4
    json.dumps(texts(given)).encode("utf-8")


@pytest.mark.parametrize(
    ("raw", "text", "note"),
    [
        ("\ufeffA café at the river, with a mark.".encode(), "A café at the river, with a mark.", {}),
        ("A café at the river, in wide letters.".encode("utf-16"), "A café at the river, in wide letters.", {}),
        ("A café — at the river, of old.".encode("cp1252"), "A café — at the river, of old.", {"files_not_utf8": 1}),
        ("A café at the river ".encode() + b"\xff\xfe broken.", "A café at the river \ufffd\ufffd broken.",
         {"invalid_bytes_replaced": 2}),
    ],
)  # fmt: skip
def test_text_is_decoded_by_what_it_is(harvest, folder, raw, text, note):
    given = harvest(str(folder({"a.txt": raw})))
    assert texts(given) == [text]
    assert {name: given.notes[name] for name in note} == note
    assert bool(given.warnings) == bool(note.get("files_not_utf8"))


def test_an_encoding_can_be_named(harvest, folder):
    given = harvest(str(folder({"a.txt": "Привет, это обычный русский текст.".encode("koi8-r")})), encoding="koi8-r")
    assert texts(given) == ["Привет, это обычный русский текст."]


def test_short_passages_are_dropped_and_equal_ones_merged_and_counted(harvest, folder):
    place = folder(
        {"a.txt": words(0, 20), "b.txt": words(0, 20), "c.md": f"# Hi\n\n{'*' * 99}\n\n# Long\n\n{words(5, 20)}"}
    )
    given = harvest(str(place), size=22, overlap=0)
    assert given.notes["duplicate_passages_merged"] == 1
    assert given.notes["short_passages_dropped"] > 0
    assert [m["source"] for m in metadata(given)] == ["a.txt", "c.md"]


def test_titles_stand_in_front_of_passages_if_wished(harvest, folder):
    place = str(folder({"a.md": f"# Guide\n\n## Setup\n\n{words(0, 20)}"}))
    assert {document.title for document in harvest(place).data.documents.values()} == {""}
    (document,) = harvest(place, titles=True).data.documents.values()
    assert document.full_text == f"Guide: Setup {document.text}"


def test_two_runs_write_the_same_bytes_wherever_the_files_lie(harvest, folder, tmp_path):
    files = {"a.pdf": pdf([words(0, 30)]), "sub/b.txt": words(40, 30)}
    first = harvest(str(folder(files)), size=20, overlap=5).data.path
    moved = tmp_path / "documents"
    moved.rename(tmp_path / "elsewhere")
    second = harvest(str(tmp_path / "elsewhere"), size=20, overlap=5).data.path
    assert (first / "corpus.jsonl").read_bytes() == (second / "corpus.jsonl").read_bytes()
    assert str(tmp_path) not in (first / "corpus.jsonl").read_text()
