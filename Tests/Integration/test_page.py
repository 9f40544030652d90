"""The page, in a real browser, by keyboard, on a wide screen and on a phone's."""

import json
import os
import shutil
import subprocess

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

driver_path = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(driver_path is None, reason="there is no chromedriver")


@pytest.fixture(params=[(1100, 700), (390, 780)], ids=["wide", "phone"])
def browser(request, server):
    options = webdriver.ChromeOptions()
    width, height = request.param
    for flag in ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--window-size={width},{height}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(driver_path))
    # Headless windows have a least width; a phone's is asked for by name.
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
    try:
        driver.get(server.url)
        yield driver
        assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE" and "favicon" not in entry["message"]] == []
    finally:
        driver.quit()


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


def test_size(server):
    assert len(server.get("/").encode()) < 40_000
