"""What is left out because it has not changed is there when the picture is read again."""

from __future__ import annotations

import io

from PIL import Image

from gradviz.slides.webp import animated_webp


def of_palette(size: tuple[int, int], values: bytes) -> Image.Image:
    picture = Image.frombytes("P", size, values)
    picture.putpalette([part for place in range(256) for part in (255 - place, 40, place // 2)])
    return picture


def with_pixels(picture: Image.Image, changes: dict[tuple[int, int], int]) -> Image.Image:
    changed = picture.copy()
    for place, colour in changes.items():
        changed.putpixel(place, colour)
    return changed


def test_every_frame_is_read_as_it_was_given() -> None:
    first = of_palette((31, 17), bytes(7 for _ in range(31 * 17)))
    nearly = with_pixels(first, {(7, 5): 8})
    corner = with_pixels(nearly, {(30, 16): 0, (1, 1): 255})
    pictures = [first, nearly, nearly, corner, first]
    found = Image.open(io.BytesIO(animated_webp(pictures, [100, 200, 300, 400, 500])))
    assert (found.size, found.n_frames, found.info["loop"]) == ((31, 17), 5, 0)
    for place, picture in enumerate(pictures):
        found.seek(place)
        found.load()
        assert found.info["duration"] == 100 * (place + 1)
        assert found.convert("RGB").tobytes() == picture.convert("RGB").tobytes(), place


def test_a_picture_that_stays_costs_next_to_nothing() -> None:
    noise = of_palette((200, 200), Image.effect_noise((200, 200), 90).tobytes())
    sizes = [len(animated_webp([noise] * count, [100] * count)) for count in (1, 11)]
    assert sizes[1] - sizes[0] < 1000 < sizes[0]
