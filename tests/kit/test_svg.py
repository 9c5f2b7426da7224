"""What is drawn is XML, whatever stands in it."""

from xml.etree import ElementTree as ET

from server.kit.svg import Drawing

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</text><script href="x">&</script>'


def test_words_and_values_never_become_elements() -> None:
    drawing = Drawing(10, 20, font="DejaVu Sans")
    drawing.text((1, 2), HOSTILE, "#000000")
    drawing.add("rect", x=1.23456, fill='"/><script/>')

    found = ET.fromstring(drawing.svg())  # noqa: S314 - ours

    assert {one.tag for one in found.iter()} == {f"{SVG}svg", f"{SVG}text", f"{SVG}rect"}
    assert [one.text for one in found.iter(f"{SVG}text")] == [HOSTILE]
    [rect] = found.iter(f"{SVG}rect")
    assert (rect.get("x"), rect.get("fill")) == ("1.23", '"/><script/>')


def test_a_line_of_one_point_is_none() -> None:
    drawing = Drawing(10, 20, font="DejaVu Sans")
    drawing.line([(1, 2)], "#000000", 1)
    drawing.line([(1, 2), (3, 4)], "#000000", 1, stroke_dasharray="5 3")

    [line] = ET.fromstring(drawing.svg()).iter(f"{SVG}path")  # noqa: S314 - ours
    assert line.get("d") == "M1.00 2.00L3.00 4.00"
    assert line.get("stroke-dasharray") == "5 3"
