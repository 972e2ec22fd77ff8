"""The reports in a real browser: they decode, draw, load nothing, fit a phone and print.

usage: browser_test.py WRITE_REPORT STUDY [--screenshots FOLDER]
Exit code 77: chromium or chromedriver is not installed here. Standard library only; speaks WebDriver over HTTP.
"""
import base64
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.error
import urllib.request

SKIPPED = 77
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync"]


class Browser:
    """One headless browser behind its own chromedriver, which picks a free port."""

    def __init__(self, chromium, chromedriver, profile):
        self.driver = subprocess.Popen([chromedriver, "--port=0"], stdout=subprocess.PIPE, text=True)
        try:
            port = next(found[1] for line in self.driver.stdout if (found := re.search(r"on port (\d+)\.", line)))
            self.url = f"http://127.0.0.1:{port}/session"
            options = {"binary": chromium, "args": FLAGS + [f"--user-data-dir={profile}"]}
            capabilities = {"browserName": "chrome", "goog:chromeOptions": options,
                            "goog:loggingPrefs": {"browser": "ALL"}}
            session = self.call("", {"capabilities": {"alwaysMatch": capabilities}})
        except BaseException:
            self.close()
            raise
        self.url += "/" + session["sessionId"]

    def call(self, path, body=None, method="POST"):
        data = None if method != "POST" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return json.load(reply)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"WebDriver {path}: {error.read().decode()}") from error

    def run(self, script):
        return self.call("/execute/sync", {"script": script, "args": []})

    def devtools(self, command, **parameters):
        return self.call("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def show(self, width, scheme="light", media="screen"):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
                      mobile=width < 600)
        self.devtools("Emulation.setEmulatedMedia", media=media,
                      features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path):
        picture = self.devtools("Page.captureScreenshot", captureBeyondViewport=True)
        pathlib.Path(path).write_bytes(base64.b64decode(picture["data"]))

    def print_a4(self):
        return base64.b64decode(self.call("/print", {"page": {"width": 21.0, "height": 29.7}}))

    def close(self):
        try:
            if hasattr(self, "url"):
                self.call("", method="DELETE")
        finally:
            self.driver.terminate()
            self.driver.wait()
            self.driver.stdout.close()


class Page:
    """What holds for every page. `browser` and `page` are set by main."""
    browser = None
    page = None

    def setUp(self):
        self.browser.show(1280)
        self.browser.call("/se/log", {"type": "browser"})  # what other tests left there
        self.browser.call("/url", {"url": self.page.as_uri()})

    def eventually(self, holds):
        """The page hears of a change a moment after it is made."""
        patience = time.monotonic() + 5
        while not holds():
            self.assertLess(time.monotonic(), patience, "it did not come true")
            time.sleep(0.05)

    def test_every_image_is_decoded(self):
        images, broken = self.browser.run("""
            const images = [...document.images];
            return [images.length, images.filter(i => !i.complete || i.naturalWidth === 0).map(i => i.alt)];""")
        self.assertGreater(images, 0)
        self.assertEqual(broken, [])

    def test_nothing_is_loaded_from_elsewhere(self):
        entries = self.browser.run("return performance.getEntriesByType('resource').map(e => e.name)")
        self.assertEqual([name for name in entries if not name.startswith("data:")], [])
        self.assertEqual(self.browser.run("return document.scripts.length"), 0)

    def test_the_console_is_silent(self):
        log = self.browser.call("/se/log", {"type": "browser"})
        self.assertEqual([entry["message"] for entry in log], [])

    def test_nothing_scrolls_sideways(self):
        for width in (320, 390, 768, 1280):
            self.browser.show(width)
            wide = self.browser.run("return document.documentElement.scrollWidth")
            self.assertLessEqual(wide, width)

    def test_no_table_is_cut_on_a_wide_screen(self):
        self.browser.show(1200)
        self.browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
        cut = self.browser.run("""
            return [...document.querySelectorAll('.scroll')].filter(s => s.scrollWidth > s.clientWidth + 1)
                .map(s => `${s.getAttribute('aria-label')}: ${s.scrollWidth} of ${s.clientWidth}`);""")
        self.assertEqual(cut, [])

    def test_where_the_style_sheet_is_blocked_the_drawings_are_right(self):
        """As artifact viewers serve pages: no style, no data: URI. Plain, but no black polygons and no nameless
        picture."""
        blocked = self.page.with_name("blocked.html")
        policy = """content="default-src 'none'; img-src 'self'; style-src 'self'\""""
        blocked.write_text(re.sub(r'content="default-src [^"]*"', lambda _: policy, self.page.read_text(), count=1))
        self.browser.call("/url", {"url": blocked.as_uri()})
        black, marks, filled, nameless = self.browser.run("""
            const marks = [...document.querySelectorAll('svg :is(path, line, circle, text)')];
            const style = e => getComputedStyle(e);
            const black = marks.filter(e => style(e).fill === 'rgb(0, 0, 0)' && e.getClientRects().length);
            return [black.map(e => e.outerHTML.slice(0, 90)), marks.length,
                    marks.filter(e => e.matches('.line, .dots') && style(e).fill !== 'none').length,
                    [...document.images].filter(i => i.alt.length < 10).length];""")
        self.browser.call("/se/log", {"type": "browser"})  # it says what it blocked
        styled = "return getComputedStyle(document.body).fontFamily.includes('system-ui')"
        self.assertEqual(self.browser.run(styled), False, "it was not blocked")
        self.assertEqual(black, [])
        self.assertEqual((filled, nameless), (0, 0))
        self.assertGreater(marks, 20)

    def test_dark_is_dark(self):
        background = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
        self.assertGreater(min(self.browser.run(background)), 200)
        self.browser.show(1280, scheme="dark")
        self.assertLess(max(self.browser.run(background)), 60)

    def test_it_prints_with_everything_unfolded(self):
        self.browser.show(794, media="print")
        unfolded = """
            const shown = e => e.checkVisibility({contentVisibilityAuto: true}) && e.getBoundingClientRect().height > 0;
            const contents = [...document.querySelectorAll('details > :not(summary)')];
            const panels = [...document.querySelectorAll('.panel')];
            return [contents.filter(e => !shown(e)).map(e => e.outerHTML.slice(0, 80)),
                    panels.filter(e => !shown(e)).map(e => e.innerText.slice(0, 80))];"""
        self.eventually(lambda: self.browser.run(unfolded) == [[], []])
        self.assertEqual(self.browser.run(unfolded), [[], []])
        wide = self.browser.run("return document.documentElement.scrollWidth")
        self.assertLessEqual(wide, 794)
        self.browser.devtools("Emulation.setEmulatedMedia", media="")
        pdf = self.browser.print_a4()
        self.assertTrue(pdf.startswith(b"%PDF-"))
        self.assertGreaterEqual(len(re.findall(rb"/Type\s*/Page\b", pdf)), 1)


class Study(Page, unittest.TestCase):
    SHOWN = """
        document.querySelectorAll('.tabs > input').forEach(i => { i.checked = true; });  // the last tab of each
        const charts = [...document.querySelectorAll('.chart')].filter(c => c.checkVisibility());"""

    def test_every_chart_is_drawn(self):
        charts = self.browser.run(self.SHOWN + """
            const drawn = chart => [...chart.querySelectorAll('svg[role=img] path')].map(p => p.getBBox())
                .filter(b => b.width > 0 && b.height > 0).length;
            const seen = chart => chart.querySelector('svg[role=img]').checkVisibility();
            return charts.map(c => [c.querySelector('h4').textContent, seen(c) && drawn(c)]);""")
        self.assertGreaterEqual(len(charts), 4)
        for title, drawn in charts:
            self.assertGreater(drawn, 0, title)

    def test_a_tooltip_lies_on_each_point(self):
        told = self.browser.run("""
            const tip = document.querySelector('#figures .panel .tip');
            tip.scrollIntoView({block: 'center', behavior: 'instant'});
            const box = tip.getBoundingClientRect();
            const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
            return at.querySelector('title') ? at.querySelector('title').textContent : at.outerHTML.slice(0, 200);""")
        self.assertRegex(told, r": \d+\.\d\d dB \[\d+\.\d\d, \d+\.\d\d\], n = 5 images × 2 seeds")

    def test_the_charts_follow_the_colour_scheme(self):
        colour = "return getComputedStyle(document.querySelector('#figures .chart svg .line')).stroke"
        light = self.browser.run(colour)
        self.browser.show(1280, scheme="dark")
        self.eventually(lambda: self.browser.run(colour) != light)

    def test_the_metric_is_chosen_by_keyboard(self):
        visible = """
            const panels = [...document.querySelectorAll('#figures .panel')];
            return panels.filter(p => p.checkVisibility()).map(p => p.innerText.split('\\n')[0]);"""
        self.assertIn("Mean PSNR by Training epsilon", self.browser.run(visible))
        first = self.browser.call("/element", {"using": "css selector", "value": "#figures input"})
        self.browser.call(f"/element/{next(iter(first.values()))}/value", {"text": "\ue014"})
        self.assertIn("Mean Gain by Training epsilon", self.browser.run(visible))


class StudyWithoutX(Study):
    """The same study with a chart of every cell by group in place of those along x."""
    test_a_tooltip_lies_on_each_point = test_the_metric_is_chosen_by_keyboard = None

    def test_every_chart_is_drawn(self):
        self.assertGreater(self.browser.run("return document.querySelectorAll('#figures svg .dots').length"), 12)

    def test_a_group_s_mean_stands_out_of_its_dots(self):
        mean, dot, last = self.browser.run("""
            const chart = [...document.querySelectorAll('#figures .chart')].find(c => c.querySelector('.mean'));
            const width = e => parseFloat(getComputedStyle(e).strokeWidth);
            const groups = [...chart.querySelectorAll('g')];
            return [Math.min(...[...chart.querySelectorAll('.mean .dots')].map(width)),
                    Math.max(...[...chart.querySelectorAll('g:not(.mean) > .dots')].map(width)),
                    groups.at(-1).classList.contains('mean')];""")
        self.assertGreater(mean, 2 * dot)
        self.assertTrue(last, "what is drawn last is on top")


def save_screenshots(browser, page, folder):
    folder.mkdir(parents=True, exist_ok=True)
    browser.call("/url", {"url": page.as_uri()})
    for name, width, scheme in (("light", 1280, "light"), ("dark", 1280, "dark"), ("phone", 390, "light")):
        browser.show(width, scheme)
        browser.screenshot(folder / f"{name}.png")
    (folder / "report.pdf").write_bytes(browser.print_a4())


def write_pages(write_report, study, scratch):
    """Renders the fixture into folders of their own and tells the test cases where their pages are."""
    for case in (Study, StudyWithoutX):
        folder = pathlib.Path(scratch, case.__name__)
        shutil.copytree(study, folder)
        if case is StudyWithoutX:
            result = json.loads((folder / "result.json").read_text())
            (folder / "result.json").write_text(json.dumps(result | {"x": None}))
        case.page = pathlib.Path(subprocess.check_output([write_report, folder], text=True).strip())


def main():
    write_report, study = sys.argv[1:3]
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not chromedriver:
        print("SKIPPED: the pages were not opened: chromium or chromedriver is not installed here")
        return SKIPPED
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        write_pages(write_report, study, scratch)
        Page.browser = Browser(chromium, chromedriver, pathlib.Path(scratch, "profile"))
        try:
            outcome = unittest.main(argv=sys.argv[:1], exit=False, verbosity=2).result
            if sys.argv[3:4] == ["--screenshots"]:
                save_screenshots(Page.browser, Study.page, pathlib.Path(sys.argv[4]))
        finally:
            Page.browser.close()
    return 0 if outcome.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
