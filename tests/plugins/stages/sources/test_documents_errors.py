"""Files that cannot be read: each is named with what to do, and nothing is left half-made."""

import contextlib
import io
import random
import zipfile

import docx
import pytest

from embedrun.errors import DataError
from written_documents import encrypted, pdf, words

READERS = ["pypdf", "pypdfium2"]
OTHERS = ["docx", "html", "md"]
SOUND = pdf([words(0, 30)])


def fails(harvest, path, **keys) -> str:
    with pytest.raises(DataError) as caught:
        harvest(str(path), **keys)
    return str(caught.value)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (pdf(["", "", ""]), "has no text on any of its 3 pages: it seems to be scanned; recognise its text first"),
        (pdf(["", "", ""]), "ocrmypdf"),
        (
            pdf(["From the archive"] * 9),
            "has only running heads and feet as text on its 9 pages: it seems to be scanned",
        ),
        (encrypted(SOUND, "secret"), "is encrypted and needs a password; remove it first, for example with: qpdf"),
        (encrypted(SOUND, "secret", algorithm="AES-256"), "is encrypted and needs a password"),
        (SOUND[:60], "is a broken PDF"),
        (b"%PDF-1.7\n" + b"rubbish " * 50, "is a broken PDF"),
        (b"<html>not a pdf</html>", "is not a PDF: it begins with b'<html>not a"),
        (b"", "is empty (0 bytes)"),
    ],
)
def test_a_pdf_without_readable_text_is_named_with_what_to_do(harvest, folder, reader, content, says):
    place = folder({"annual.pdf": content})
    message = fails(harvest, place / "annual.pdf", pdf_reader=reader)
    assert message.startswith(f"{place}/annual.pdf: ")
    assert says in message


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-256"])
def test_an_encrypted_pdf_that_opens_without_a_password_is_read(harvest, folder, reader, algorithm):
    given = harvest(str(folder({"a.pdf": encrypted(SOUND, "", algorithm=algorithm)})), pdf_reader=reader)
    assert [document.text for document in given.data.documents.values()] == [words(0, 30)]


@pytest.mark.parametrize("reader", READERS)
def test_pages_without_text_among_others_are_told_by_number(harvest, folder, reader):
    pages = ["" if n in (2, 4, 5, 6, 7, 8, 9) else words(n * 50, 30) for n in range(1, 12)]
    given = harvest(str(folder({"a.pdf": pdf(pages), "b.pdf": pdf(["", words(900, 20)])})), pdf_reader=reader)
    assert "pages without text, blank or scanned: 8 (a.pdf: 2, 4, 5, 6, 7, …; b.pdf: 1)" in given.warnings
    assert given.notes["pages_without_text"] == 8


def word_file(text: str = "") -> bytes:
    document, stream = docx.Document(), io.BytesIO()
    document.add_paragraph(text)
    document.save(stream)
    return stream.getvalue()


def other_archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("hello.txt", "hello")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.docx", b"\xd0\xcf\x11\xe0" + b"x" * 600, "is encrypted, or an old .doc file"),
        ("a.docx", b"not zipped", "is broken, or not a Word document"),
        ("a.docx", word_file()[:900], "is broken, or not a Word document"),
        ("a.docx", other_archive(), "is broken, or not a Word document"),
        ("a.docx", word_file(), "holds no text"),
        ("a.txt", b"", "is empty (0 bytes)"),
        ("a.txt", b" \n\t\n", "holds no text"),
        ("a.txt", b"too short", "holds no passage of min_characters (20) or more letters and digits"),
        ("a.txt", b"text with \0 in it, as pictures have", "is not text: it holds zero bytes"),
        ("a.html", b"<html><script>var x = 'only a script is here'</script></html>", "holds no text"),
        ("a.md", b"---\ntitle: only this\n---\n", "holds no text"),
    ],
)
def test_another_file_without_readable_text_is_named(harvest, folder, name, content, says):
    place = folder({name: content})
    assert fails(harvest, place).startswith(f"{place}/{name}: {says}")


@pytest.mark.parametrize(
    ("name", "reader"), [("a.pdf", "pypdf"), ("a.pdf", "pypdfium2"), *((f"a.{kind}", "pypdf") for kind in OTHERS)]
)
def test_no_damage_to_a_file_ends_in_a_traceback(harvest, folder, reader, name):
    page = f"<html><body><h1>Head</h1><table><tr><td>{words(0, 20)}<p>one</table><pre> a\n b</pre></body>".encode()
    note = f"---\ntitle: x\n---\n# Head\n```\n{words(0, 20)}\n```\nSet\n---\n- item".encode()
    sound = {
        "a.pdf": pdf([words(0, 30)], outline=[(1, "A")]),
        "a.docx": word_file(words(0, 30)),
        "a.html": page,
        "a.md": note,
    }[name]
    assert harvest(str(folder({name: sound})), pdf_reader=reader).data.documents, "undamaged it can be read"
    chance = random.Random(f"{reader} {name}")
    for _ in range(40):
        damaged = bytearray(sound)
        for _ in range(chance.choice([1, 3, 10])):
            place = chance.randrange(len(damaged))
            damaged[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        # What can be read still is read, and all else is one DataError.
        with contextlib.suppress(DataError):
            harvest(str(folder({name: bytes(damaged)})), pdf_reader=reader)


def test_all_bad_files_are_named_at_once(harvest, folder):
    place = folder({"a.pdf": b"", "b.txt": words(0, 30), "c.pdf": encrypted(SOUND, "x"), "d.docx": b"x"})
    lines = fails(harvest, place).splitlines()
    assert [line.split(":")[0].rsplit("/", 1)[-1] for line in lines[:3]] == ["a.pdf", "c.pdf", "d.docx"]
    assert lines[3] == "3 of 4 files cannot be read; repair them or leave them out, or set on_error: skip"


def test_bad_files_can_be_skipped_with_a_warning(harvest, folder):
    given = harvest(str(folder({"a.pdf": b"", "b.txt": words(0, 30)})), on_error="skip")
    assert [document.text for document in given.data.documents.values()] == [words(0, 30)]
    assert given.notes["files_that_cannot_be_read"] == 1
    assert given.warnings == ["1 of 2 files cannot be read and are skipped: a.pdf is empty (0 bytes)"]


def test_skipping_all_files_is_an_error(harvest, folder):
    assert "is empty (0 bytes)" in fails(harvest, folder({"a.pdf": b""}), on_error="skip")


def test_links_that_lead_nowhere_are_no_files(harvest, folder):
    place = folder({"a.txt": words(0, 30)})
    (place / "b.txt").symlink_to(place / "gone.txt")
    assert "b.txt" not in str(harvest(str(place)).data.documents)
    (place / "loop.txt").symlink_to(place / "loop.txt")
    assert len(harvest(str(place)).data.documents) == 1


def test_a_model_without_a_tokenizer_is_named(tmp_path, read, folder):
    from embedrun.artifacts import Model
    from embedrun_plugins.stages.sources.documents import Documents

    (tmp_path / "model").mkdir()
    (tmp_path / "model/tokenizer.json").write_text("{}")
    source = Documents.model_validate({"path": str(folder({"a.txt": words(0, 30)}))})
    with pytest.raises(DataError, match="its tokenizer cannot be loaded"):
        read(source, model=Model(tmp_path / "model"))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("path: none.pdf", "none.pdf: no such file"),
        ("path: none/*.pdf", "none: no such file"),
        ("path: empty", "no document in"),
        ("path: docs/*.pdf", "matches no file"),
        ("path: docs\n  size: 10", "overlap: 20 tokens must be fewer than 'size'"),
        ("path: docs\n  pdf_reader: pdfminer", "pdf_reader"),
        ("path: docs\n  splits: {train: [b]}", "'b' matches no file"),
    ],
)
def test_check_finds_what_is_wrong_and_where(project, source, says):
    project.write("docs/a.txt", words(0, 30))
    (project.folder / "empty").mkdir()
    project.write(
        "recipe.yaml", f"model: x/y\nsource:\n  type: documents\n  {source}\ndeployer: {{type: directory, path: o}}"
    )
    outcome = project.run("check", "recipe.yaml")
    assert outcome.code == 2
    assert says in outcome.err
    assert "recipe.yaml:" in outcome.err
    assert "Traceback" not in outcome.err
