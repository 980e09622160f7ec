"""Every kind of picture becomes upright RGB, or is refused with the reason."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.runtime import images
from headstart.runtime.images import deepest_value, is_image_path, iter_images, read_image
from pictures import make_picture

# Four flat quarters: lossy formats keep them, and every turn and mirroring shows.
QUARTERS = np.zeros((32, 48, 3), np.uint8)
QUARTERS[:16, :24] = (250, 20, 30)
QUARTERS[:16, 24:] = (20, 240, 30)
QUARTERS[16:, :24] = (10, 30, 250)
QUARTERS[16:, 24:] = (240, 240, 30)


def encoded(image: Image.Image | npt.NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture = image if isinstance(image, Image.Image) else Image.fromarray(image)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def assert_rgb(pixels: npt.NDArray[Any], height: int, width: int) -> None:
    assert (pixels.shape, pixels.dtype) == ((height, width, 3), np.uint8)


# What a viewer must do to show the stored pixels upright, by the EXIF standard's table of the
# stored row 0 and column 0; here its inverse: how an upright picture is stored.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](QUARTERS))
    content = encoded(stored, kind, exif=exif, **({} if kind == "PNG" else {"quality": 95}))
    pixels = read_image(content)
    assert_rgb(pixels, 32, 48)
    # The middles of the quarters: lossy formats blur the borders between them.
    difference = pixels.astype(int) - QUARTERS
    middles = difference[4:32:8, 6:48:12]
    assert middles.size == 4 * 4 * 3
    assert abs(middles).max() <= (0 if kind == "PNG" else 12)


def palette(transparent: bool) -> bytes:
    image = Image.new("P", (2, 1))
    image.putpalette([200, 10, 20, 30, 40, 50])
    image.putpixel((1, 0), 1)
    return encoded(image, **({"transparency": 1} if transparent else {}))


def animation() -> bytes:
    frames = [Image.new("RGB", (2, 1), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


def premultiplied() -> Image.Image:
    return Image.new("RGBA", (2, 1), (100, 50, 200, 128)).convert("RGBa")


# Half transparent over white: 255 + (value - 255) * 128 / 255, by hand.
HALF = (round(255 - 155 * 128 / 255), round(255 - 205 * 128 / 255), round(255 - 55 * 128 / 255))


@pytest.mark.parametrize(
    ("source", "first", "second"),
    [
        pytest.param(encoded(np.array([[9, 200]], np.uint8)), (9,) * 3, (200,) * 3, id="grey"),
        pytest.param(palette(False), (200, 10, 20), (30, 40, 50), id="palette"),
        pytest.param(palette(True), (200, 10, 20), (255,) * 3, id="palette, transparent"),
        pytest.param(
            encoded(np.array([[[9, 255], [9, 0]]], np.uint8)), (9,) * 3, (255,) * 3, id="LA"
        ),
        pytest.param(
            encoded(np.array([[[1, 2, 3, 255], [100, 50, 200, 128]]], np.uint8)),
            (1, 2, 3),
            HALF,
            id="RGBA",
        ),
        pytest.param(premultiplied(), HALF, HALF, id="premultiplied alpha"),
        pytest.param(
            encoded(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8), transparency=(4, 5, 6)),
            (1, 2, 3),
            (255,) * 3,
            id="RGB with a transparent colour",
        ),
        pytest.param(
            encoded(np.array([[9, 200]], np.uint8), transparency=200),
            (9,) * 3,
            (255,) * 3,
            id="grey with a transparent value",
        ),
        pytest.param(
            encoded(np.array([[False, True]])), (0,) * 3, (255,) * 3, id="one bit a pixel"
        ),
        pytest.param(animation(), (255, 0, 0), (255, 0, 0), id="animation"),
        pytest.param(
            encoded(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8), "WEBP", lossless=True),
            (1, 2, 3),
            (4, 5, 6),
            id="WebP",
        ),
        pytest.param(
            encoded(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8), "BMP"),
            (1, 2, 3),
            (4, 5, 6),
            id="BMP",
        ),
        pytest.param(
            encoded(Image.new("CMYK", (2, 1), (0, 255, 255, 0)), "TIFF"),
            (255, 0, 0),
            (255, 0, 0),
            id="CMYK",
        ),
    ],
)
def test_every_kind_becomes_rgb(
    source: images.ImageSource, first: tuple[int, ...], second: tuple[int, ...]
) -> None:
    pixels = read_image(source)
    assert_rgb(pixels, 1, 2)
    # Blending may round either way.
    assert abs(pixels[0].astype(int) - [first, second]).max() <= 1


def test_cmyk_jpeg_has_its_colours() -> None:
    pixels = read_image(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))
    assert_rgb(pixels, 16, 16)
    assert abs(pixels.astype(int) - (255, 0, 0)).max() <= 6


@pytest.mark.parametrize(
    ("white_level", "expected"),
    # By hand: round(value * 255 / white), at most 255.
    [(65535, [0, 4, 16, 255]), (4095, [0, 62, 255, 255]), (1000, [0, 255, 255, 255])],
)
def test_deep_grey_is_scaled_by_the_white_level(white_level: int, expected: list[int]) -> None:
    content = encoded(np.array([[0, 1000, 4095, 65535]], np.uint16))
    pixels = read_image(content, white_level=white_level)
    assert_rgb(pixels, 1, 4)
    assert pixels[0].tolist() == [[value] * 3 for value in expected]


def test_float_tiff_is_scaled_and_odd_values_are_tamed() -> None:
    values = np.array([[0.0, 0.5, 1.0, 7.0, -1.0, np.nan, np.inf, -np.inf]], np.float32)
    pixels = read_image(encoded(values, "TIFF"), white_level=1)
    assert pixels[0, :, 1].tolist() == [0, 128, 255, 255, 0, 0, 255, 0]


@pytest.mark.parametrize(
    ("values", "kind", "largest"),
    [
        (np.array([[3, 200]], np.uint8), "PNG", None),
        (np.array([[[3, 200, 1]]], np.uint8), "JPEG", None),
        (np.array([[3, 999]], np.uint16), "PNG", 999),
        (np.array([[3, 70000]], np.int32), "TIFF", 70000),
        (np.array([[-3.0, 0.2]], np.float32), "TIFF", 1),
        (np.array([[np.nan, 2.5, np.inf]], np.float32), "TIFF", 3),
        (np.array([[-np.inf, -2]], np.float32), "TIFF", 0),
        (np.array([[3e38]], np.float32), "TIFF", 2**62),
    ],
)
def test_the_deepest_value_is_that_of_deep_pictures(
    values: npt.NDArray[Any], kind: str, largest: int | None
) -> None:
    assert deepest_value(encoded(values, kind)) == largest


def test_the_deepest_value_of_no_picture_is_an_error() -> None:
    with pytest.raises(UnreadableImageError, match="not a picture of a known format"):
        deepest_value(b"no picture")


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (40, 1)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_thin_pictures_are_read(height: int, width: int, kind: str) -> None:
    content = encoded(np.full((height, width, 3), 77, np.uint8), kind)
    pixels = read_image(content, at_least=(224, 224))
    assert_rgb(pixels, height, width)
    assert abs(pixels.astype(int) - 77).max() <= 2


def huge_png(width: int, height: int) -> bytes:
    """A file that claims a size and holds no pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


NOISE = make_picture("disc", 1, (96, 96))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(encoded(NOISE, "JPEG")[:-900], "cannot be decoded .*truncated", id="jpeg"),
        pytest.param(encoded(NOISE)[:-900], "cannot be decoded .*truncated", id="png"),
        pytest.param(b"", "not a picture of a known format", id="empty"),
        pytest.param(b"hello, I am text", "not a picture of a known format", id="text"),
        pytest.param(encoded(NOISE, "JPEG")[:10], "cannot be decoded", id="ten bytes"),
        pytest.param(
            huge_png(60_000, 50_000), r"cannot be decoded \(.*3000000000 pixels", id="bomb"
        ),
    ],
)
@pytest.mark.parametrize("as_file", [True, False])
def test_what_cannot_be_decoded_says_why(
    tmp_path: Path, content: bytes, reason: str, as_file: bool
) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=reason):
        read_image(path if as_file else content)


def test_a_file_that_is_not_there_is_said() -> None:
    with pytest.raises(UnreadableImageError, match="the file does not exist"):
        read_image("nowhere.jpg")


def test_the_limit_of_pixels_says_what_was_received(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 1_500)
    assert_rgb(read_image(encoded(np.zeros((30, 50), np.uint8))), 30, 50)
    with pytest.raises(UnreadableImageError, match="51x30 pixels are more than the limit of 1,500"):
        read_image(encoded(np.zeros((30, 51), np.uint8)))


def test_a_large_picture_below_the_limit_gives_no_warning() -> None:
    # Pillow warns from 89 million pixels on, and warnings are errors here. No pixels follow.
    with pytest.raises(UnreadableImageError, match="truncated"):
        read_image(huge_png(10_000, 10_000))
    assert deepest_value(huge_png(10_000, 10_000)) is None


def test_all_sources_give_the_same(tmp_path: Path) -> None:
    content = encoded(NOISE)
    path = tmp_path / "a.png"
    path.write_bytes(content)
    sources = [str(path), path, content, Image.open(io.BytesIO(content)), NOISE]
    assert len(sources) == 5
    for source in sources:
        np.testing.assert_array_equal(read_image(source), NOISE)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[7]], np.uint8), (7, 7, 7)),
        (np.array([[[7]]], np.uint8), (7, 7, 7)),
        (np.array([[[1, 2, 3]]], np.uint8), (1, 2, 3)),
        (np.array([[[1, 2, 3, 0]]], np.uint8), (255, 255, 255)),
        (np.array([[[1, 2, 3, 255]]], np.uint8), (1, 2, 3)),
    ],
)
def test_arrays_are_taken(array: npt.NDArray[Any], expected: tuple[int, ...]) -> None:
    assert read_image(array).tolist() == [[list(expected)]]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.zeros((4, 5, 3), np.float32),
            r"must be uint8 .*, got float32 of shape \(4, 5, 3\)",
        ),
        (np.zeros((2, 4, 5, 3), np.uint8), r"got uint8 of shape \(2, 4, 5, 3\)"),
        (np.zeros(4, np.uint8), r"got uint8 of shape \(4,\)"),
        (np.zeros((4, 5, 2), np.uint8), "must have 1, 3 or 4 channels, got 2"),
        (np.zeros((3, 4, 5), np.uint8), "must have 1, 3 or 4 channels, got 5"),
        (np.zeros((0, 5, 3), np.uint8), r"has no pixels \(shape \(0, 5, 3\)\)"),
        (np.zeros((0, 5), np.uint8), r"has no pixels \(shape \(0, 5, 3\)\)"),
    ],
)
def test_wrong_arrays_say_what_was_received(array: npt.NDArray[Any], message: str) -> None:
    with pytest.raises(UnreadableImageError, match=message):
        read_image(array)


def photograph(progressive: bool = False) -> bytes:
    data = pytest.importorskip("skimage.data")  # shipped in the wheel, nothing is fetched
    return encoded(data.astronaut(), "JPEG", quality=92, progressive=progressive)


@pytest.mark.parametrize(
    ("at_least", "size"),
    # 512 pixels can be decoded at 512, 256, 128, 64.
    [((300, 300), 512), ((256, 256), 256), ((100, 130), 256), ((64, 100), 128), ((10, 10), 64)],
)
def test_jpeg_is_decoded_no_smaller_than_asked(at_least: tuple[int, int], size: int) -> None:
    assert_rgb(read_image(photograph(), at_least=at_least), size, size)


@pytest.mark.parametrize("progressive", [False, True])
def test_scaled_decoding_is_close_to_full_decoding(progressive: bool) -> None:
    content = photograph(progressive)
    small = read_image(content, at_least=(256, 256))
    full = Image.fromarray(read_image(content)).resize((256, 256), Image.Resampling.BOX)
    difference = np.abs(small.astype(float) - np.asarray(full))
    # Measured with Pillow 13: 0.8; moved by one pixel it would be 10.5.
    assert difference.mean() < 1.5


def test_scaled_decoding_keeps_the_sides_of_a_turned_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(np.zeros((400, 200, 3), np.uint8), "JPEG", exif=exif)
    # Shown 200 high and 400 wide: half of it would be lower than 150.
    assert_rgb(read_image(content, at_least=(150, 100)), 200, 400)
    assert_rgb(read_image(content, at_least=(100, 50)), 100, 200)


def test_a_pillow_image_of_the_caller_stays_as_it_is() -> None:
    with Image.open(io.BytesIO(photograph())) as image:
        assert_rgb(read_image(image, at_least=(64, 64)), 512, 512)
        assert image.size == (512, 512)


def test_overlapping_threads_leave_the_filters_of_warnings_as_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first_reads, second_reads, first_is_done = (threading.Event() for _ in range(3))
    content = encoded(NOISE)

    def read_slowly(image: Image.Image, at_least: Any, white_level: int) -> npt.NDArray[np.uint8]:
        if image.info.get("first"):
            first_reads.set()
            assert second_reads.wait(10)
        else:
            second_reads.set()
            assert first_is_done.wait(10)
        return NOISE

    monkeypatch.setattr(images, "_to_rgb", read_slowly)
    before = list(warnings.filters)
    marked = Image.open(io.BytesIO(content))
    marked.info["first"] = True
    first = threading.Thread(target=read_image, args=(marked,))
    second = threading.Thread(target=read_image, args=(content,))
    first.start()
    assert first_reads.wait(10)
    second.start()
    first.join(10)
    first_is_done.set()
    second.join(10)
    assert not first.is_alive()
    assert not second.is_alive()
    assert list(warnings.filters) == before


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jpg", True),
        ("A.JPEG", True),
        ("a.b.TiF", True),
        ("a.webp", True),
        (".a.jpg", False),
        ("a.svg", False),
        ("jpg", False),
        ("a.jpg.txt", False),
    ],
)
def test_pictures_are_known_by_their_ending(name: str, expected: bool) -> None:
    assert is_image_path(Path("folder") / name) is expected


def test_pictures_of_a_folder_come_in_order_without_hidden_ones(tmp_path: Path) -> None:
    names = ["b/2.png", "b/10.png", "a.jpg", ".hidden/c.png", "b/.d.png", "b/e.txt", "b/.f/g.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in iter_images(tmp_path)]
    assert found == ["a.jpg", "b/10.png", "b/2.png"]
    # A hidden folder that was asked for is read.
    assert [path.name for path in iter_images(tmp_path / ".hidden")] == ["c.png"]
