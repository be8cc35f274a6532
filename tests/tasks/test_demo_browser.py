"""The demo as a person uses it: a server on this machine, and Chromium without a screen."""

import os
import socket
import subprocess
import sys
import time
from shutil import which
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from smartrec.tasks.recommender import recommend

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1100",
)
RATED = {"at 180 degrees": 0.5, "at 60 degrees": 4.0, "at 336 degrees": 5.0}
HISTORY = [(115, 0.5), (105, 4.0), (128, 5.0)]
PATIENCE = 60


@pytest.fixture
def address(td3_folder, dqn_folder, tmp_path):
    """Where ``smartrec demo`` serves."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "smartrec", "demo", "--agent", td3_folder, "--agent", dqn_folder, "--port", port]
    log = (tmp_path / "server.log").open("w")
    server = subprocess.Popen([*map(str, command)], stdout=log, stderr=log, start_new_session=True)
    try:
        wait_for(f"http://localhost:{port}/_stcore/health", server, tmp_path / "server.log")
        yield f"http://localhost:{port}"
    finally:
        if server.poll() is None:
            os.killpg(server.pid, 15)
            server.wait(30)
        log.close()


def wait_for(url, server, log):
    deadline = time.monotonic() + 2 * PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        try:
            return urlopen(url, timeout=5).read()
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise AssertionError(log.read_text())


@pytest.fixture
def browser(tmp_path):
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    driver = Chrome(options, ChromeService(which("chromedriver")))
    yield driver
    driver.quit()


class Page:
    """What a person does on the page."""

    def __init__(self, browser, address):
        self.browser = browser
        browser.get(address)

    def until(self, condition):
        from selenium.common.exceptions import ElementNotInteractableException, StaleElementReferenceException
        from selenium.webdriver.support.wait import WebDriverWait

        ignored = [ElementNotInteractableException, StaleElementReferenceException]  # the page is being drawn anew
        return WebDriverWait(self.browser, PATIENCE, ignored_exceptions=ignored).until(lambda _: condition())

    def find(self, selector):
        return self.until(lambda: self.browser.find_elements("css selector", selector))[0]

    def press(self, button):
        self.until(lambda: self.find(f".st-key-{button} button").click() is None)

    def rate(self, words, rating):
        from selenium.webdriver.common.keys import Keys

        search = self.find(".st-key-search input")
        search.send_keys(Keys.CONTROL, "a")
        search.send_keys(words, Keys.ENTER)
        self.until(lambda: f"Film {words}" in self.find(".st-key-title input").get_attribute("value"))
        self.find(".st-key-rating input").send_keys(Keys.HOME, *[Keys.ARROW_RIGHT] * round(2 * (rating - 0.5)))
        self.until(lambda: float(self.find(".st-key-rating input").get_attribute("value")) == rating)
        self.press("rate")
        self.until(lambda: f"Film {words}\n{rating:g}" in self.find("body").text)

    def choose(self, key, option):
        from selenium.webdriver.common.keys import Keys

        self.find(f".st-key-{key} input").send_keys(option, Keys.ENTER)

    def titles(self):
        """Those in the table that is shown; the text of one that is hidden is empty."""
        cells = self.browser.find_elements("css selector", "[data-testid=stTable] td:nth-child(2)")
        return [text for cell in cells if (text := cell.text)]


def test_rating_three_titles_brings_the_right_ones(address, browser, td3_folder, dqn_folder):
    page = Page(browser, address)
    for words, rating in RATED.items():
        page.rate(words, rating)
    page.press("recommend")
    own, inner = ([row.title for row in recommend(td3_folder, HISTORY, metric=metric)] for metric in (None, "inner"))
    page.until(lambda: page.titles() == own)
    # So rates who likes the film at 0 degrees most.
    assert {*own[:3]} <= {f"Film at {degrees % 360} degrees" for degrees in range(-60, 72, 12)}
    page.choose("metric", "inner")
    page.until(lambda: page.titles() == inner and "Distance (inner)" in page.find("body").text)
    page.choose("agent", "DQN")
    page.until(lambda: page.titles() == [row.title for row in recommend(dqn_folder, HISTORY)])
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert loaded
    assert not [url for url in loaded if not url.startswith((address, "data:", "blob:"))]
