"""Headers read without decoding, against Pillow and against files built byte by byte."""

import io
import os
import random
import struct
from pathlib import Path

import pytest
from PIL import Image

from pipeline.header import FORMATS, Header, read_header

CHANNELS = {"RGB": 3, "L": 1, "CMYK": 4, "RGBA": 4, "LA": 2, "P": 3, "I;16": 1}
SOI, EOI = b"\xff\xd8", b"\xff\xd9"
SOS = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def frame(height: int, width: int, marker: int = 0xC0) -> bytes:
    return segment(marker, struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00")


def encoded(kind: str, size: tuple[int, int], *, mode: str = "RGB", **options: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, 77).save(out, kind, **options)
    return out.getvalue()


def written(tmp_path: Path, content: bytes, name: str = "image.jpg") -> str:
    file = tmp_path / name
    file.write_bytes(content)
    return str(file)


@pytest.mark.parametrize("size", [(1, 1), (3, 400), (500, 375), (4000, 7)])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"mode": "L"}),
        ("JPEG", {"mode": "CMYK"}),
        ("JPEG", {"icc_profile": bytes(200_000)}),  # APP2 segments beyond the first read
        ("JPEG", {"comment": b"c" * 16_370}),  # the frame header straddles the end of the first read
        ("PNG", {}),
        ("PNG", {"mode": "RGBA"}),
        ("PNG", {"mode": "I;16"}),
        ("PNG", {"mode": "L"}),
        ("PNG", {"mode": "LA"}),
        ("PNG", {"mode": "P"}),
    ],
)
def test_says_what_pillow_says(tmp_path: Path, kind: str, options: dict, size: tuple[int, int]) -> None:
    content = encoded(kind, size, **options)
    header = read_header(written(tmp_path, content))
    assert header == Header(
        height=size[1],
        width=size[0],
        size=len(content),
        channels=CHANNELS[options.get("mode", "RGB")],
        format=FORMATS.index(kind),
        orientation=0,
    )


@pytest.mark.parametrize("tag", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_reads_the_orientation_that_pillow_reads(tmp_path: Path, kind: str, order: str, tag: int) -> None:
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F], exif[0x0112], exif[0x0131] = "maker", tag, "software"  # among others
    file = written(tmp_path, encoded(kind, (8, 4), exif=exif))
    assert read_header(file).orientation == tag
    with Image.open(file) as opened:
        assert opened.getexif()[0x0112] == tag


def tiff(tag: int = 0x0112, kind: int = 3, value: int = 6, entries: int = 1) -> bytes:
    return b"MM\0*" + struct.pack(">IHHHIHH", 8, entries, tag, kind, 1, value, 0)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (tiff(), 6),
        (tiff(entries=9), 6),  # says that there are more entries than there are
        (tiff(value=0), 0),
        (tiff(value=9), 0),
        (tiff(kind=4), 0),
        (tiff(tag=0x0111), 0),
        (tiff(entries=0), 0),
        (tiff()[:-4], 0),
        (tiff()[:9], 0),
        (b"MM\0*" + b"\xff" * 20, 0),
        (b"XX\0*" + tiff()[4:], 0),
        (b"", 0),
    ],
)
def test_a_damaged_tag_is_none(tmp_path: Path, block: bytes, expected: int) -> None:
    content = SOI + segment(0xE1, b"Exif\0\0" + block) + frame(31, 17) + SOS
    assert read_header(written(tmp_path, content))[:2] == (31, 17)
    assert read_header(written(tmp_path, content)).orientation == expected


@pytest.mark.parametrize("fill", [16_384 - 40, 16_384 - 22, 16_384 - 8, 16_384])
def test_exif_at_any_place_of_the_window(tmp_path: Path, fill: int) -> None:
    other = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0")
    exif = segment(0xE1, b"Exif\0\0" + tiff() + bytes(30_000))
    content = SOI + other + segment(0xFE, bytes(fill - 6 - len(other))) + exif + frame(300, 200) + SOS
    assert read_header(written(tmp_path, content)).orientation == 6


def test_content_counts_not_suffix(tmp_path: Path) -> None:
    assert read_header(written(tmp_path, encoded("PNG", (5, 6)), "image.JPEG"))[:2] == (6, 5)
    assert read_header(written(tmp_path, encoded("JPEG", (5, 6)), "image.png"))[:2] == (6, 5)


def test_exif_orientation_is_not_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_header(written(tmp_path, encoded("JPEG", (8, 4), exif=exif)))[:2] == (4, 8)
    assert read_header(written(tmp_path, encoded("JPEG", (8, 4)))).orientation == 0


@pytest.mark.parametrize("fill", range(16_384 - 40, 16_384 + 2))
def test_frame_header_at_any_place_of_the_window(tmp_path: Path, fill: int) -> None:
    content = SOI + segment(0xFE, bytes(fill - 6)) + frame(300, 200) + SOS
    assert read_header(written(tmp_path, content))[:2] == (300, 200)


def test_many_long_segments_fill_bytes_and_stray_bytes(tmp_path: Path) -> None:
    thumbnail = segment(0xE1, SOI + frame(9, 9) + SOS)  # a picture within a segment is not the picture
    content = (
        SOI + thumbnail + segment(0xE2, bytes(65_533)) * 20 + b"\xff\xff\xff" + frame(31, 17, 0xC2) + SOS
    )
    assert read_header(written(tmp_path, content))[:2] == (31, 17)
    content = SOI + segment(0xE0, bytes(10)) + b"\0\0stray\xff\x00" + frame(31, 17) + SOS
    assert read_header(written(tmp_path, content))[:2] == (31, 17)


@pytest.mark.parametrize("marker", [m for m in range(0xC0, 0xD0) if m not in (0xC4, 0xC8, 0xCC)])
def test_every_kind_of_frame(tmp_path: Path, marker: int) -> None:
    content = SOI + segment(0xC4, bytes(30)) + segment(0xCC, bytes(4)) + frame(31, 17, marker) + SOS
    assert read_header(written(tmp_path, content))[:2] == (31, 17)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "empty"),
        (b"GIF89a\x01\x00\x01\x00", r"neither JPEG nor PNG, begins with b'GIF89a"),
        (b"<html>not found</html>", r"neither JPEG nor PNG, begins with b'<html>"),
        (b"\xff\xd8", "neither JPEG nor PNG"),
        (encoded("JPEG", (9, 9))[:20], "a JPEG cut off before its frame header"),
        (SOI + segment(0xE0, bytes(65_000))[:30], "a JPEG cut off before its frame header"),
        (SOI + frame(9, 9)[:8], "a JPEG cut off before its frame header"),
        (SOI + b"\xff\xe0\x00\x01" + frame(9, 9), "a JPEG with a broken segment at byte 2"),
        (SOI + SOS + frame(9, 9), "a JPEG without a frame header"),
        (SOI + EOI + frame(9, 9), "a JPEG without a frame header"),
        (SOI + frame(0, 9) + SOS, "its header says 0 x 9 pixels"),
        (SOI + frame(9, 9)[:9] + b"\x02" + SOS, "a JPEG of 2 channels"),
        (SOI + frame(9, 9)[:9], "a JPEG cut off before its frame header"),
        (
            encoded("PNG", (9, 9))[:25] + b"\x07" + encoded("PNG", (9, 9))[26:],
            "a PNG of the unknown colour type 7",
        ),
        (encoded("PNG", (9, 9))[:30], "a PNG cut off in its header"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "a PNG cut off in its header"),
        (encoded("PNG", (9, 9)).replace(struct.pack(">II", 9, 9), struct.pack(">II", 2**31, 9)), "pixels"),
    ],
)
def test_names_the_fault(tmp_path: Path, content: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}" if fault != "pixels" else "9 x 2147483648 pixels"):
        read_header(written(tmp_path, content))


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^gone$"):
        read_header(str(tmp_path / "missing.jpg"))
    (tmp_path / "link.jpg").symlink_to("nowhere")
    with pytest.raises(ValueError, match=r"^a link to nothing$"):
        read_header(str(tmp_path / "link.jpg"))
    with pytest.raises(ValueError, match=r"^not a regular file$"):
        read_header(str(tmp_path))
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ValueError, match=r"^not a regular file$"):
        read_header(str(tmp_path / "pipe.jpg"))


def test_damage_ends_in_a_header_or_a_fault(tmp_path: Path) -> None:
    draw = random.Random(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = [
        encoded("JPEG", (64, 48), icc_profile=bytes(20_000), exif=exif),
        encoded("PNG", (64, 48), exif=exif),
    ]
    refused = 0
    for _ in range(200):
        content = bytearray(draw.choice(whole))
        for _ in range(draw.randrange(1, 6)):
            content[draw.randrange(min(700, len(content)))] = draw.randrange(256)
        del content[draw.randrange(1, len(content)) :]
        try:
            header = read_header(written(tmp_path, bytes(content)))
            assert header.height > 0 and header.width > 0 and header.size == len(content)
            assert header.channels in (1, 2, 3, 4) and header.orientation in range(9)
        except ValueError:
            refused += 1
    assert 0 < refused < 200
