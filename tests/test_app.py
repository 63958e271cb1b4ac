"""The page is served to this machine alone, and does in a browser what it says."""

import contextlib
import http.client
import io
import json
import os
import re
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import resources

import numpy as np
import pytest
from helpers import tiny
from PIL import Image
from sklearn.pipeline import make_pipeline

from colorvae_sk import _app, _png, cli, folders, save
from colorvae_sk._files import open_picture
from colorvae_sk._page import Restoration

PAGE_FILES = ["page.html", "page.css", "page.js"]
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "chrome"]


@pytest.fixture(scope="module")
def vae(photos_uint8):
    return tiny(max_epochs=1).fit(photos_uint8)


@pytest.fixture(scope="module")
def page(vae):
    """The page, served in a thread."""
    with _app.Page(vae, 0, 1e5) as page:
        thread = threading.Thread(target=page.serve_forever, args=(0.01,))
        thread.start()
        yield page
        page.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def deep_png(photos_uint8):
    """A PNG file of 16 bits, 96 x 64."""
    photo = np.vstack([np.hstack(photos_uint8)] * 4).astype(np.uint16)
    return _png.write_deep(photo * 255 + 77)


def ask(page, path, body=None, **headers):
    """Status, kind and data of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", page.server_port)
    with contextlib.closing(connection):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def upload(page, file):
    """What is told of a picture that was restored."""
    status, _, data = ask(page, "/pictures", file)
    assert status == 200
    return json.loads(data)


# ------------------------------------------------------------------ without a browser
def test_a_picture_is_restored_shown_and_downloaded(page, vae, deep_png):
    told = upload(page, deep_png)
    assert (told["width"], told["height"]) == (96, 64)
    address = f"/pictures/{told['key']}"
    expected = Restoration(vae, deep_png)
    assert ask(page, f"{address}/file")[2] == folders.restore_bytes(vae, deep_png)
    half = ask(page, f"{address}/file?version=0&strength=0.5")[2]
    assert half == expected.file(0, 0.5)
    for layer in ("before", "error", 0):
        status, headers, data = ask(page, f"{address}/{layer}")
        assert (status, headers["Content-Type"]) == (200, "image/png")
        assert data == expected.shown(layer)
    area = "?x=0&y=1&width=10&height=20"
    part = expected.shown(0, (slice(44, 64), slice(0, 10)))
    assert ask(page, f"{address}/0{area}")[2] == part
    assert Image.open(io.BytesIO(ask(page, f"{address}/0?side=48")[2])).width == 48


def test_how_far_it_is_can_be_asked(page, deep_png):
    upload(page, deep_png)
    assert json.loads(ask(page, "/progress")[2]) == {"done": 1.0}


def test_samples_are_drawn_one_by_one(page, vae, deep_png):
    key, expected = upload(page, deep_png)["key"], Restoration(vae, deep_png)
    for number in (1, 2):
        answer = ask(page, f"/pictures/{key}/samples", b"")[2]
        assert json.loads(answer) == {"version": number}
        assert expected.sample() == number
        file = ask(page, f"/pictures/{key}/file?version={number}")[2]
        assert file == expected.file(number)


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        ("/pictures", b"hello", 422, "it is no picture"),
        ("/pictures", b"", 422, "it is empty"),
        ("/pictures/1234/before", None, 404, "put away"),
        ("/pictures/1234/samples", b"", 404, "put away"),
        ("/../setup.py", None, 404, "no such page"),
        ("/etc", b"", 404, "no such page"),
        ("/pictures/{key}/file?strength=2", None, 422, "from 0 to 1"),
        ("/pictures/{key}/7", None, 404, "no restoration 7"),
        ("/pictures/{key}/0?x=1&width=3", None, 422, "An area needs height, y too"),
        ("/pictures/{key}/0?x=nan&y=0&width=3&height=3", None, 422, "NaN"),
    ],
)
def test_what_can_not_be_answered_is_said(page, deep_png, path, body, status, reason):
    key = upload(page, deep_png)["key"] if "{key}" in path else ""
    got, headers, text = ask(page, path.format(key=key), body)
    assert got == status
    assert reason in text.decode()
    assert headers["Content-Type"].startswith("text/plain")


def test_files_that_are_too_large_are_not_read(page):
    status, _, text = ask(page, "/pictures", b"", Content_Length=str(10**9))
    assert (status, "--max-pixels" in text.decode()) == (413, True)


def test_only_this_machine_is_served(page):
    assert page.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://example.org"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Host": "example.org"},
    ],
    ids=str,
)
def test_other_sites_are_refused(page, deep_png, headers):
    assert ask(page, "/pictures", deep_png, **headers)[0] == 403
    assert ask(page, "/", **headers)[0] == 403


def test_the_page_itself_may_ask(page):
    for name in ("127.0.0.1", "localhost"):
        own = f"{name}:{page.server_port}"
        assert ask(page, "/", Host=own, Origin=f"http://{own}")[0] == 200


def test_the_browser_is_told_to_ask_nobody_else(page):
    for path in ("/", "/page.css", "/page.js"):
        status, headers, _ = ask(page, path)
        assert status == 200
        policy = headers["Content-Security-Policy"]
        sources = re.findall(r"-src ([^;]*)", policy)
        assert policy.startswith("default-src 'none';")
        assert {word for words in sources for word in words.split()} <= {
            "'none'",
            "'self'",
            "data:",
        }
        assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", PAGE_FILES)
def test_the_page_names_no_other_place(name):
    text = resources.files("colorvae_sk").joinpath("page", name).read_text("utf-8")
    assert re.search(r"https?:|url\(|@import|src=\"//", text) is None


# ------------------------------------------------------------------ the command
@pytest.fixture
def opened(monkeypatch):
    """Addresses that a browser was to open; the page is over at once."""

    def stop(self):
        raise KeyboardInterrupt

    addresses = []
    monkeypatch.setattr(_app.webbrowser, "open", addresses.append)
    monkeypatch.setattr(_app.Page, "serve_forever", stop)
    return addresses


@pytest.mark.parametrize("options", [[], ["--no-browser"]], ids=str)
def test_the_command_tells_where_the_page_is(opened, vae, tmp_path, capsys, options):
    save(vae, tmp_path / "mine.safetensors")
    model = ["--model", str(tmp_path / "mine.safetensors")]
    assert cli.main(["app", "--port", "0", *model, *options]) == 0
    (url,) = re.findall(r"http://127\.0\.0\.1:\d+/", capsys.readouterr().out)
    assert opened == ([] if options else [url])


def test_a_port_that_is_taken_is_an_error(opened, page, capsys):
    assert cli.main(["app", "--port", str(page.server_port)]) == 2
    assert "--port 0" in capsys.readouterr().err


def test_who_closes_the_page_waits_until_the_picture_is_put_down(
    vae, deep_png, monkeypatch
):
    begun, predict = threading.Event(), type(vae)._with_error_bars

    def predict_late(self, images):
        begun.set()
        time.sleep(0.2)
        yield from predict(self, images)

    monkeypatch.setattr(type(vae), "_with_error_bars", predict_late)
    with ThreadPoolExecutor(2) as pool:
        with _app.Page(vae, 0, 1e5) as page:
            pool.submit(page.serve_forever, 0.01)
            answer = pool.submit(ask, page, "/pictures", deep_png)
            assert begun.wait(20)
            page.shutdown()
        assert "process_request" not in str(threading.enumerate())
        assert answer.result()[0::2] == (422, b"The page was closed.")


def test_many_may_ask_at_once(vae):
    with contextlib.ExitStack() as stack:
        page = stack.enter_context(_app.Page(vae, 0, 1e5))
        for _ in range(40):  # none is turned away, though nobody answers yet
            address = "127.0.0.1", page.server_port
            stack.enter_context(socket.create_connection(address, timeout=0.5))


@pytest.mark.parametrize("port", ["-1", "65536", "x"])
def test_a_port_has_a_number(port, capsys):
    with pytest.raises(SystemExit):
        cli.main(["app", "--port", port])


def test_what_is_no_model_of_images_is_refused(vae):
    with pytest.raises(ValueError, match="save the step that restores"):
        _app.Page(make_pipeline(vae), 0, 1e5)


# ------------------------------------------------------------------ in a browser
@pytest.fixture
def browser():
    """A real one, without a window: that of COLORVAE_BROWSER, or one that is found."""
    api = pytest.importorskip("playwright.sync_api")
    named = os.environ.get("COLORVAE_BROWSER")
    options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with api.sync_playwright() as player:
        found = [named, *map(shutil.which, BROWSERS), player.chromium.executable_path]
        found = [path for path in found if path and os.path.exists(path)]
        if not found:
            pytest.skip("there is no browser: COLORVAE_BROWSER=/path/to/chromium")
        browser = player.chromium.launch(executable_path=found[0], args=options)
        yield browser
        browser.close()


def when(condition):
    """Wait until something is so."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def colour_at(tab, x):
    """The colour of the picture on the screen, x of its width from the left."""
    box = tab.locator("#stack").bounding_box()
    area = {"x": box["x"] + x * box["width"], "y": box["y"] + 0.8 * box["height"]}
    image = tab.screenshot(clip={**area, "width": 8, "height": 8})
    return np.asarray(Image.open(io.BytesIO(image)))[..., :3].mean(axis=(0, 1))


def seen(tab, *names):
    """Wait until layers are on the screen."""
    for name in names:
        tab.evaluate(f"document.querySelector('#{name}').decode()")


def downloaded(tab):
    """The file that the page gives, and its name."""
    with tab.expect_download() as download:
        tab.click("#download")
    with open(download.value.path(), "rb") as file:
        return file.read(), download.value.suggested_filename


def dragged(tab, file):
    """What a browser hands on when a file is dropped."""
    script = """(values) => {
        const dragged = new DataTransfer();
        dragged.items.add(new File([new Uint8Array(values)], "dropped.png"));
        return dragged;
    }"""
    return tab.evaluate_handle(script, list(file))


def test_the_page_in_a_browser(browser, page, vae, deep_png):
    expected = Restoration(vae, deep_png)
    tab = browser.new_page(viewport={"width": 1200, "height": 800})
    asked, said = [], []
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.goto(page.url)

    photo = {"name": "my photo.png", "mimeType": "image/png", "buffer": deep_png}
    tab.set_input_files("#file", photo)
    tab.locator("#work").wait_for()
    seen(tab, "before", "after", "veil")
    assert "96 \N{MULTIPLICATION SIGN} 64" in tab.inner_text("#name")

    # the slider: what it uncovers is the picture as it was
    after = colour_at(tab, 0.3)
    tab.locator("#split").fill("10")
    restored = colour_at(tab, 0.3)
    box = tab.locator("#stack").bounding_box()
    tab.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + box["height"] / 2)
    tab.mouse.up()
    assert float(tab.input_value("#split")) == pytest.approx(90, abs=1)
    before = colour_at(tab, 0.3)
    assert np.abs(after - before).max() < 2 < np.abs(restored - before).max()

    # strength: what is seen is what is downloaded
    tab.locator("#split").fill("0")
    tab.locator("#strength").fill("50")
    assert np.abs(colour_at(tab, 0.3) - (before + restored) / 2).max() < 2
    file, name = downloaded(tab)
    assert name == "my photo_restored.png"
    assert file == expected.file(0, 0.5)
    assert open_picture(file).colours.dtype == np.uint16
    tab.locator("#strength").fill("100")
    assert downloaded(tab)[0] == folders.restore_bytes(vae, deep_png)

    # error bars, over the restored picture
    tab.check("#show-error")
    seen(tab, "error")
    assert np.abs(colour_at(tab, 0.3) - restored).max() > 2
    tab.uncheck("#show-error")

    # another restoration
    tab.click("#more")
    tab.locator("#versions img").nth(1).wait_for()
    assert expected.sample() == 1
    assert downloaded(tab)[0] == expected.file(1)
    tab.locator("#versions button").nth(0).click()
    assert downloaded(tab)[0] == expected.file(0)

    # a phone's width: nothing is cut off
    tab.set_viewport_size({"width": 390, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390

    # a photograph that is dropped
    tab.dispatch_event("#drop", "drop", {"dataTransfer": dragged(tab, deep_png)})
    when(lambda: "dropped.png" in tab.inner_text("#name"))
    assert downloaded(tab) == (expected.file(0), "dropped_restored.png")

    # one that was put away meanwhile
    page.table.restore(deep_png), page.table.restore(deep_png)
    tab.locator("#more").click()
    when(lambda: "put away" in tab.inner_text("#failure"))

    # a broken file: said, and the picture before stays
    broken = {"name": "a.png", "mimeType": "image/png", "buffer": deep_png[:90]}
    tab.set_input_files("#file", broken)
    when(lambda: "can't be read" in tab.inner_text("#failure"))
    assert "dropped.png" in tab.inner_text("#name")

    assert {url.split("/")[2] for url in asked if not url.startswith("data:")} == {
        f"127.0.0.1:{page.server_port}"
    }
    refused = re.compile("status of (404|422)")
    assert [text for text in said if not refused.search(text)] == []
