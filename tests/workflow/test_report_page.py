"""The report in a real browser: laid out on a wide and on a narrow screen, drawn, and printed."""

import re

import numpy as np
from PIL import Image

from tests.workflow.browser import Browser, find_browser

BADGES = {"Publish": (42, 107, 67), "Hold": (179, 66, 26)}
WHITE = 255


def ink(pixels: np.ndarray) -> float:
    """The share of pixels that aren't white."""
    return float((pixels.min(axis=2) < WHITE - 12).mean())


def test_the_report_in_a_real_browser(finished, tmp_path):
    run = finished.driver("--target", "report")
    assert run.code == 0, run.output
    page, browser = finished.path("results/report.html"), Browser(find_browser(), tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text and len(page.read_bytes()) < 1_000_000
    assert not re.findall(r"(?:src|href)=[\"'](?!#)", text), "nothing is fetched"

    for width in (1280, 500):
        seen = browser.look(page, width)
        assert seen["scroll"] <= seen["width"], (
            f"at {width} px the page is {seen['scroll']} px wide: {seen['wide'][:3]}"
        )
        assert not seen["wide"] and not seen["clipped"], seen["wide"][:3] + seen["clipped"][:3]
        picture = np.asarray(Image.open(browser.shot(page, width, seen["height"])).convert("RGB"))
        assert picture.shape[:2] == (seen["height"], width)

        first = picture[:900]
        badge = BADGES[re.search(r'class="verdict \w+">(\w+)<', text)[1]]
        assert (np.abs(first.astype(int) - badge).max(axis=2) < 8).sum() > 400, "the verdict is on the first screen"
        assert ink(first) > 0.02
        assert len(seen["charts"]) >= 14
        for left, top, right, bottom in seen["charts"]:
            assert right - left > 150 and bottom - top > 100, "a chart can be read"
            assert left >= 0 and right <= width, "a chart is on the page"
            drawn = picture[top:bottom, left:right]
            assert 0.005 < ink(drawn) < 0.7, f"a chart is drawn: {(left, top, right, bottom)}"
            assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 8, "it has lines and letters"
        tops = [top for _, _, top, _, _ in seen["headings"]]
        assert tops == sorted(tops) and len(tops) >= 10
        for (name, *_), start, end in zip(seen["headings"], tops, [*tops[1:], seen["height"]], strict=True):
            if end - start > 40:
                assert ink(picture[start:end]) > 0.002, f"section {name} is empty"

    printed = browser.print(page)
    pages = len(re.findall(rb"/Type\s*/Page\b", printed))
    assert 5 <= pages <= 60, f"{pages} pages"
