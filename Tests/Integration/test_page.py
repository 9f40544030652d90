"""The page, in a real browser, by keyboard, on a wide screen and on a phone's."""

import contextlib
import json
import os
import shutil
import subprocess

import pytest
from conftest import Server, serving
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

driver_path = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(driver_path is None, reason="there is no chromedriver")


@contextlib.contextmanager
def browsing(url, width, height):
    options = webdriver.ChromeOptions()
    for flag in ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--window-size={width},{height}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(driver_path))
    # Headless windows have a least width; a phone's is asked for by name.
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
    try:
        driver.get(url)
        yield driver
    finally:
        driver.quit()


@pytest.fixture(params=[(1100, 700), (390, 780)], ids=["wide", "phone"])
def browser(request, server):
    with browsing(server.url, *request.param) as driver:
        yield driver
        assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_chat_by_keyboard(browser, server):
    wait = WebDriverWait(browser, 30)
    text = lambda identifier: browser.find_element(By.ID, identifier).get_attribute("textContent")
    wait.until(lambda _: text("state") == "ready" and text("model") == "smollm2")
    # The message field has the focus from the start.
    browser.switch_to.active_element.send_keys("What is the capital of France?", Keys.ENTER)
    answers = lambda: browser.find_elements(By.CSS_SELECTOR, "#messages li.assistant .rate")
    wait.until(lambda _: len(answers()) == 1)
    bubbles = [item.get_attribute("textContent") for item in browser.find_elements(By.CSS_SELECTOR, "#messages li")]
    assert bubbles[0] == "What is the capital of France?" and len(bubbles[1]) > 5 and "tokens/s" in bubbles[1]
    # What others ask is seen too.
    other = subprocess.Popen(
        ["curl", "--silent", server.url + "/v1/completions", "--json",
         json.dumps({"prompt": "a", "max_tokens": 4000, "ignore_eos": True, "stream": True})], stdout=subprocess.DEVNULL)
    wait.until(lambda _: text("running") == "1" and float(text("rate")) > 0 and float(text("launches")) == 1)
    other.kill()
    wait.until(lambda _: text("running") == "0")
    # Escape stops an answer; the conversation goes on.
    before = server.metric("vllm:generation_tokens_total")
    browser.switch_to.active_element.send_keys("Tell me a very long story about a bird.", Keys.ENTER)
    WebDriverWait(browser, 30, 0.02).until(lambda _: server.metric("vllm:generation_tokens_total") > before)
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    wait.until(lambda _: text("send") == "Send")
    wait.until(lambda _: server.metric("vllm:num_requests_running") == 0)
    assert server.metric("vllm:generation_tokens_total") < before + 512
    # Nothing is wider than the window.
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    if folder := os.environ.get("SCREENSHOTS"):
        browser.save_screenshot(f"{folder}/page-{browser.execute_script('return window.innerWidth')}.png")
    # An answer that its limit cut says so; the settings are found on a phone too.
    if not browser.find_element(By.ID, "maxTokens").is_displayed():
        browser.find_element(By.CSS_SELECTOR, "#settings summary").click()
    limit = browser.find_element(By.ID, "maxTokens")
    limit.clear()
    limit.send_keys("3", Keys.TAB)
    browser.find_element(By.ID, "text").send_keys("Count to one hundred.", Keys.ENTER)
    wait.until(lambda _: "Cut off at 3 tokens" in text("messages"))
    # What is copied can be pasted.
    cut = browser.execute_script("return turns.at(-1).content")
    browser.find_elements(By.XPATH, "//button[.='Copy']")[-1].click()
    wait.until(lambda _: "Copied" in text("messages"))
    browser.find_element(By.ID, "text").send_keys(Keys.CONTROL, "v")
    assert cut and browser.find_element(By.ID, "text").get_attribute("value") == cut
    browser.find_element(By.ID, "text").clear()
    count = len(browser.find_elements(By.CSS_SELECTOR, "#messages > li"))
    browser.find_element(By.XPATH, "//button[.='Regenerate']").click()
    wait.until(lambda _: text("send") == "Send" and "Cut off at 3 tokens" in text("messages"))
    assert len(browser.find_elements(By.CSS_SELECTOR, "#messages > li")) == count
    # A reload keeps the conversation and the settings.
    cut = text("messages")
    browser.refresh()
    wait.until(lambda _: text("state") == "ready")
    assert text("messages") == cut and browser.find_element(By.ID, "maxTokens").get_attribute("value") == "3"
    browser.find_element(By.ID, "clear").click()
    assert "Ask something" in text("messages") and "Count" not in text("messages")


def test_markdown(server):
    with browsing(server.url, 1100, 700) as browser:
        html = lambda text: browser.execute_script("return element('div', markdown(arguments[0])).innerHTML", text)
        assert html("a *b* **c** `d`\ne\n\nf") == "<p>a <em>b</em> <strong>c</strong> <code>d</code>\ne</p><p>f</p>"
        assert html("# T\n- a\n- b\n3. c") == "<h3>T</h3><ul><li>a</li><li>b</li></ul><ol start=\"3\"><li>c</li></ol>"
        assert html("```py\n# a *b*\n```\nc").startswith("<pre><code># a *b*</code></pre>")
        # A block that isn't closed yet is code already, and HTML is text.
        assert html("```\n<b>") == "<pre><code>&lt;b&gt;</code></pre>"
        assert html("<img src=x onerror=alert(1)>") == "<p>&lt;img src=x onerror=alert(1)&gt;</p>"
        assert "lists" in html("```ls``` lists") and "<pre>" not in html("```ls``` lists")
        assert html("````\n```\na\n```\n````\nb").startswith("<pre><code>```\na\n```</code></pre>")
        assert html("a\u2028b") == "<p>a\u2028b</p>"
        assert html("2 * 3 * 4 and **") == "<p>2 * 3 * 4 and **</p>"


def test_lost_server():
    server = Server()
    port = server.url.rsplit(":", 1)[1]
    with browsing(server.url, 1100, 700) as browser:
        wait = WebDriverWait(browser, 30)
        text = lambda: browser.find_element(By.ID, "messages").get_attribute("textContent")
        wait.until(lambda _: browser.find_element(By.ID, "state").text == "ready")
        assert server.stop() == 0
        browser.find_element(By.ID, "text").send_keys("Name a colour.", Keys.ENTER)
        wait.until(lambda _: "does not answer" in text())
        with serving("--port", port, "--served-model-name", "other"):
            wait.until(lambda _: browser.find_element(By.ID, "model").text == "other")
            assert "Name a colour." in text()
            browser.find_element(By.XPATH, "//button[.='Send again']").click()
            wait.until(lambda _: browser.find_elements(By.CSS_SELECTOR, "#messages li.assistant .rate"))
            assert "does not answer" not in text()
            kept = browser.execute_script("return turns")
        # An answer isn't lost to another that never comes.
        browser.find_element(By.XPATH, "//button[.='Regenerate']").click()
        wait.until(lambda _: "does not answer" in text())
        assert browser.execute_script("return turns") == kept


def test_size(server):
    assert len(server.get("/").encode()) < 40_000
