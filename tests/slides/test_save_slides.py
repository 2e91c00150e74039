"""What `save_slides` writes: pages and pictures that are counted and measured, the whole file or nothing."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import framed_graphs
import pypdfium2
import pytest
from PIL import Image
from slide_samples import frames_named, paintings, words

from gradviz import GradvizError, InputError, RenderError
from gradviz.slides import save_slides
from gradviz.slides.document import pdf
from gradviz.slides.pixels import moving_picture, png_pages

LECTURE = framed_graphs.lecture()
SHORT = LECTURE.frames(detail="passes")


@pytest.mark.parametrize("name", ["lecture", "squares", "relu_net", "cut", "training"])
def test_a_pdf_has_a_page_for_each_frame_with_its_texts(name: str) -> None:
    with pypdfium2.PdfDocument(pdf(paintings(name), title="t")) as document:
        assert len(document) == len(frames_named(name))
        for page, painting in zip(document, paintings(name), strict=True):
            assert page.get_size() == (960, 540)
            written = re.sub(r"\s", "", page.get_textpage().get_text_bounded())
            assert [text for text in words(painting) if text not in written] == []


def test_every_font_that_a_pdf_names_is_in_it() -> None:
    content = pdf(paintings("lecture"), title="t")
    names = set(re.findall(rb"/BaseFont\s*/([^\s/]+)", content))
    assert len(names) == len(re.findall(rb"/FontFile2", content)) == 2 and all(b"+DejaVuSans" in name for name in names)


def test_a_pdf_is_the_same_on_every_run() -> None:
    assert pdf(paintings("cut"), title="t") == pdf(paintings("cut"), title="t")


@pytest.mark.parametrize("theme", ["dark", "slides", "print"])
def test_pictures_have_the_colours_of_the_theme_where_it_says(theme: str) -> None:
    painting = paintings("lecture", theme)[-1]
    (content,) = png_pages([painting])
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    assert picture.size == (1920, 1080)
    assert picture.getpixel((3, 3)) == tuple(bytes.fromhex(painting.background[1:]))
    for shape in painting.shapes:
        place = (int(shape.box.middle[0]), int(shape.box.bottom - (shape.inset + 4 if shape.form == "double" else 5)))
        assert picture.getpixel(place) == tuple(bytes.fromhex(shape.fill[1:])), shape.id
        side = (round(shape.box.left), round(shape.box.middle[1]))
        assert sum(abs(a - b) for a, b in zip(picture.getpixel(side), bytes.fromhex(shape.line[1:]), strict=True)) < 150


@pytest.mark.parametrize("picture_format", ["gif", "webp"])
def test_a_moving_picture_has_every_frame_for_its_time(picture_format: str) -> None:
    pages = paintings("lecture")[-4:]
    picture = Image.open(io.BytesIO(moving_picture(pages, picture_format, seconds_per_frame=1.5)))
    assert (picture.size, picture.n_frames, picture.info["loop"]) == ((1920, 1080), 4, 0)
    for place, single in enumerate(png_pages(pages)):
        picture.seek(place)
        picture.load()
        assert picture.info["duration"] == (1500 if place < 3 else 3000)
        assert picture.convert("RGB").tobytes() == Image.open(io.BytesIO(single)).convert("RGB").tobytes()


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.pptx", b"PK"),
        ("a.PDF", b"%PDF"),
        ("a.gif", b"GIF89a"),
        ("a.webp", b"RIFF"),
        ("a.tex", b"% Comp"),
        ("a.html", b"<!DOC"),
    ],
)
def test_the_ending_decides_the_format_and_nothing_else_is_left(name: str, start: bytes, tmp_path: Path) -> None:
    save_slides(SHORT, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_gets_numbered_pictures_and_loses_those_of_an_earlier_call(tmp_path: Path) -> None:
    LECTURE.save_slides(tmp_path / "slides", format="svg")
    found = sorted(path.name for path in (tmp_path / "slides").iterdir())
    assert found == [f"frame-{number:02}.svg" for number in range(1, 14)]
    (tmp_path / "slides" / "notes.txt").write_text("mine")
    save_slides(SHORT, f"{tmp_path}/slides/")
    found = sorted(path.name for path in (tmp_path / "slides").iterdir())
    assert found == ["frame-1.png", "frame-2.png", "notes.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["slides"]


def test_html_slides_are_the_page_of_the_player_with_the_same_options(tmp_path: Path) -> None:
    LECTURE.save_slides(tmp_path / "a.html", theme="dark", highlight="#aa00aa", font_size=30, title="mine")
    player = LECTURE.player(theme="dark", highlight="#aa00aa", font_size=30, title="mine")
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == player.html
    for other in ({"theme": "light"}, {"highlight": "#00aa00"}, {"font_size": 18}, {"title": "yours"}):
        options = {"theme": "dark", "highlight": "#aa00aa", "font_size": 30, "title": "mine"} | other
        assert LECTURE.player(**options).html != player.html, other


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.key", {}, r"unknown slide format '\.key' of .*accepted: \.pptx, \.pdf, .*or a folder for png or svg"),
        ("a.png", {}, "is one file, and png slides are one for each frame; accepted: a folder"),
        ("a", {"format": "pptx"}, r"is a folder, and pptx slides are one file; accepted: a path that ends in \.pptx"),
        ("missing/a.pptx", {}, "cannot write '.*missing/a.pptx': No such file"),
        ("missing/folder/", {}, "cannot write slides to .*missing/folder': No such file"),
        ("file/", {}, "cannot write slides to .*file': .*xists"),
        (
            "a.pdf",
            {"one_slide": True},
            "one_slide is for .pptx files, not for pdf; accepted: theme=, font_size=, highlight= and time_limit_s=",
        ),
        ("a.gif", {"one_slide": True}, "not for gif; accepted: seconds_per_frame=, theme=, font_size=, highlight="),
        ("a.gif", {"seconds_per_frame": 0}, "seconds_per_frame is 0; accepted: above 0, up to 600"),
        ("a.pdf", {"theme": "sepia"}, "unknown theme 'sepia'"),
        ("a.gif", {"seconds_per_frame": "1"}, "seconds_per_frame is '1'; accepted: above 0, up to 600"),
        ("a.pdf", {"font_size": 3}, "font_size is 3; accepted: 18 to 60"),
        ("a.pdf", {"font_size": "30"}, "font_size is '30'; accepted: 18 to 60"),
        ("a.pdf", {"highlight": "red"}, "highlight is 'red'"),
        ("a.pdf", {"highlight": 3}, "highlight is 3; accepted: a colour of the form #rrggbb"),
        ("a.pdf", {"time_limit_s": -1}, "time_limit_s is -1; accepted: more than 0"),
        ("a.pdf", {"max_nodes": "60"}, "max_nodes is '60'; accepted: 1 or more"),
        ("a.pdf", {"language": "tlh"}, "unknown language 'tlh'; accepted: en"),
    ],
)
def test_what_is_not_accepted_leaves_nothing_behind(name: str, options: dict, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(GradvizError, match=message):
        LECTURE.save_slides(f"{tmp_path}/{name}", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("module", "name"), [("pptx", "a.pptx"), ("reportlab", "a.pdf"), ("pypdfium2", "slides"), ("PIL", "a.gif")]
)
def test_a_missing_library_is_asked_for(module: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for loaded in [found for found in sys.modules if found.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RenderError, match=rf"needs {module}, .* pip install 'gradviz-explorer\[slides\]'"):
        save_slides(SHORT, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_in_the_middle_leaves_the_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_slides(SHORT, tmp_path / "slides", format="svg")

    def fails(*arguments: object, **options: object) -> str:
        raise InputError("no")

    monkeypatch.setattr("gradviz.slides.save.painting_svg", fails)
    with pytest.raises(InputError, match="no"):
        save_slides(SHORT, tmp_path / "slides", format="svg")
    assert sorted(path.name for path in (tmp_path / "slides").iterdir()) == ["frame-1.svg", "frame-2.svg"]
