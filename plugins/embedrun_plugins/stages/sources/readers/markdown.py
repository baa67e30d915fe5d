"""Markdown: its text as it stands, with its title and headings found."""

from __future__ import annotations

import re

from embedrun_plugins.stages.sources.readers import Block, DocumentContent, first_heading

_FRONT_MATTER = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?\r?\n)?(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_TITLE = re.compile(r"^title:[ \t]*(?P<quote>[\"']?)(?P<title>.*?)(?P=quote)[ \t]*\r?$", re.MULTILINE)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HASHES = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#*)?[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_NO_PARAGRAPH = re.compile(r"[ \t]*(?:[-*+>|]|\d+[.)]|$)|    ")
_MARKUP = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|[*_`]+(?=\S)|(?<=\S)[*_`]+")


def read(text: str) -> DocumentContent:
    """Return blocks that begin with their heading's line; front matter and comments are left out."""
    front = _FRONT_MATTER.match(text)
    match = _TITLE.search(front[1] or "") if front else None
    title = match["title"] if match else ""
    body = _COMMENT.sub("", text[front.end() :] if front else text)
    blocks = _blocks(body.splitlines())
    return DocumentContent(blocks, title or first_heading(blocks), markdown=True)


def _blocks(lines: list[str]) -> list[Block]:
    blocks: list[Block] = []
    level, start, fence = 0, 0, ""
    for number, line in enumerate(lines):
        mark = _FENCE.match(line)
        if mark and (not fence or (mark[1].startswith(fence) and not line[mark.end() :].strip())):
            fence = "" if fence else mark[1]
        elif not fence and (following := _heading(lines, number)):
            blocks.append(_block(lines[start:number], level))
            level, start = following, number
    blocks.append(_block(lines[start:], level))
    return [block for block in blocks if block.text.strip()]


def _block(lines: list[str], level: int) -> Block:
    heading = lines[0] if level else ""
    if hashes := _HASHES.match(heading):
        heading = hashes[2]
    return Block("\n".join(lines), level, _MARKUP.sub(lambda mark: mark[1] or "", heading).strip())


def _heading(lines: list[str], number: int) -> int:
    """Return the level of the heading that begins on a line, 0 where none does."""
    if hashes := _HASHES.match(lines[number]):
        return len(hashes[1])
    under = _UNDERLINE.match(lines[number + 1]) if number + 1 < len(lines) else None
    alone = number == 0 or not lines[number - 1].strip()
    if under and alone and not _NO_PARAGRAPH.match(lines[number]):
        return 1 if under[1][0] == "=" else 2
    return 0
