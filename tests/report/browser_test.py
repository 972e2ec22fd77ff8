"""The report in a real browser: it decodes, draws, loads nothing, fits a phone and prints.

usage: browser_test.py WRITE_REPORT FIXTURE [--screenshots FOLDER]
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


class Report(unittest.TestCase):
    browser = None  # set by main
    page = None

    def setUp(self):
        self.browser.show(1280)
        self.browser.call("/url", {"url": self.page.as_uri()})

    def test_every_image_is_decoded(self):
        images, broken = self.browser.run("""
            const images = [...document.images];
            return [images.length, images.filter(i => !i.complete || i.naturalWidth === 0).map(i => i.alt)];""")
        self.assertGreater(images, 0)
        self.assertEqual(broken, [])

    def test_the_curves_are_drawn(self):
        charts = self.browser.run("""
            document.querySelectorAll('.tabs > input').forEach(i => { i.checked = true; });  // the last tab of each
            const drawn = chart => [...chart.querySelectorAll('svg[role=img] path')].map(p => p.getBBox())
                .filter(b => b.width > 0 && b.height > 0).length;
            return [...document.querySelectorAll('.chart')].filter(c => c.checkVisibility())
                .map(c => [c.querySelector('h4').textContent, drawn(c)]);""")
        self.assertGreaterEqual(len(charts), 4)
        for title, drawn in charts:
            self.assertGreater(drawn, 0, title)

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

    def test_the_tabs_work_by_keyboard(self):
        visible = "return [...document.querySelectorAll('#pictures .panel')].map(p => p.checkVisibility())"
        self.assertEqual(self.browser.run(visible), [True, False])
        first = self.browser.call("/element", {"using": "css selector", "value": "#pictures input"})
        self.browser.call(f"/element/{next(iter(first.values()))}/value", {"text": "\ue014"})  # arrow right
        self.assertEqual(self.browser.run(visible), [False, True])

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
        patience = time.monotonic() + 5  # the page hears of the medium a moment after it is set
        while self.browser.run(unfolded) != [[], []] and time.monotonic() < patience:
            time.sleep(0.05)
        self.assertEqual(self.browser.run(unfolded), [[], []])
        wide = self.browser.run("return document.documentElement.scrollWidth")
        self.assertLessEqual(wide, 794)
        self.browser.devtools("Emulation.setEmulatedMedia", media="")
        pdf = self.browser.print_a4()
        self.assertTrue(pdf.startswith(b"%PDF-"))
        self.assertGreaterEqual(len(re.findall(rb"/Type\s*/Page\b", pdf)), 1)


def save_screenshots(browser, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, width, scheme in (("light", 1280, "light"), ("dark", 1280, "dark"), ("phone", 390, "light")):
        browser.show(width, scheme)
        browser.screenshot(folder / f"{name}.png")
    (folder / "report.pdf").write_bytes(browser.print_a4())


def main():
    write_report, fixture = sys.argv[1:3]
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not chromedriver:
        print("SKIPPED: the page was not opened: chromium or chromedriver is not installed here")
        return SKIPPED
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        folder = pathlib.Path(scratch, "run")
        shutil.copytree(fixture, folder)
        Report.page = pathlib.Path(subprocess.check_output([write_report, folder], text=True).strip())
        Report.browser = Browser(chromium, chromedriver, pathlib.Path(scratch, "profile"))
        try:
            outcome = unittest.main(argv=sys.argv[:1], exit=False, verbosity=2).result
            if sys.argv[3:4] == ["--screenshots"]:
                Report.browser.call("/url", {"url": Report.page.as_uri()})
                save_screenshots(Report.browser, pathlib.Path(sys.argv[4]))
        finally:
            Report.browser.close()
    return 0 if outcome.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
