"""``colorvae app``: a page in the browser, served to this machine alone.

The standard library serves it. The page, its style and its script are in the folder
``page``; they ask nothing of any other machine, and tell the browser to refuse it.
"""

import json
import sys
import webbrowser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from urllib.parse import parse_qs, urlsplit

from ._base import BaseColorVAE
from ._page import SIDE, Table, area_around

HOST = "127.0.0.1"
FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; "
    "script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Page(ThreadingHTTPServer):
    """Serve the page.

    Parameters
    ----------
    vae : ColorVAE or relative
        Fitted: it restores.
    port : int
        Where to listen; 0: any that is free.
    max_pixels : float
        Larger pictures are refused.

    Attributes
    ----------
    url : str
        Where the page is.
    """

    daemon_threads = True  # who stops it does not wait for slow browsers
    request_queue_size = 128  # a page asks for many things at once
    allow_reuse_address = sys.platform != "win32"  # there it would share the port

    def __init__(self, vae, port, max_pixels):
        if not isinstance(vae, BaseColorVAE):
            raise ValueError(
                f"The page needs a ColorVAE or a relative, got {type(vae).__name__}. "
                "Of a Pipeline, save the step that restores."
            )
        self.table = Table(vae, max_pixels)
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            raise OSError(
                f"Nothing can listen on port {port}: {error.strerror}. Choose another, "
                "--port 0 for any that is free."
            ) from error
        self.max_bytes = 16 * max_pixels  # a pixel has four channels of 32 bits at most
        self.names = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}
        self.url = f"http://{HOST}:{self.server_port}/"

    def service_actions(self):
        """What `serve_forever` does every now and then."""
        self.table.forget_idle()

    def server_close(self):
        """Listen no more; who leaves while torch computes would crash."""
        super().server_close()
        self.table.close()

    def open_browser(self):
        """Show the page."""
        webbrowser.open(self.url)


class RefusedError(Exception):
    """A request that is not answered: the status, and why."""


class Handler(BaseHTTPRequestHandler):
    """Answer a request."""

    server_version, sys_version = "colorvae", ""

    def do_GET(self):
        """The page, a layer of a picture, or a file."""
        self.answer(self.get)

    def do_POST(self):
        """A picture to be restored, or the wish for a sample."""
        self.answer(self.post)

    def answer(self, give):
        """Send what is given, or what went wrong."""
        try:
            self.check_origin()
            status, (kind, data) = 200, give(urlsplit(self.path))
        except RefusedError as error:
            (status, text), kind = error.args, "text/plain; charset=utf-8"
            data = text.encode()
        except (KeyError, ValueError, MemoryError) as error:
            status = 404 if isinstance(error, KeyError) else 422
            text = error.args[0] if error.args else "Memory does not suffice."
            kind, data = "text/plain; charset=utf-8", str(text).encode()
        try:
            self.send(status, kind, data)
        except ConnectionError:
            self.close_connection = True  # who asked has gone

    def send(self, status, kind, data):
        """Send an answer."""
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def check_origin(self):
        """Refuse what another site has its visitors' browsers ask for."""
        own = self.server.names
        origin = self.headers.get("Origin")
        if self.headers.get("Host") not in own or not (
            origin is None or origin.removeprefix("http://") in own
        ):
            raise RefusedError(403, f"Only the page at {self.server.url} may ask.")

    def get(self, url):
        """What an address shows: its kind, and the data."""
        if url.path in FILES:
            name, kind = FILES[url.path]
            folder = resources.files(__package__).joinpath("page")
            return kind, folder.joinpath(name).read_bytes()
        options = {name: values[-1] for name, values in parse_qs(url.query).items()}
        match url.path.split("/")[1:]:
            case ["progress"]:
                return as_json({"done": self.server.table.done})
            case ["pictures", key, "file"]:
                number, strength = options.get("version", 0), options.get("strength", 1)
                data = self.server.table.find(key).file(int(number), float(strength))
                return "application/octet-stream", data
            case ["pictures", key, layer]:
                layer = layer if layer in ("before", "error") else int(layer)
                picture = self.server.table.find(key)
                side = min(max(int(options.get("side", SIDE)), 1), SIDE)
                area = area_of(picture, options)
                return "image/png", picture.shown(layer, area, side)
        raise RefusedError(404, "There is no such page.")

    def post(self, url):
        """What is done at an address: JSON."""
        match url.path.split("/")[1:]:
            case ["pictures"]:
                table = self.server.table
                key = table.restore(self.body())
                told = {"key": key, **table.find(key).facts()}
            case ["pictures", key, "samples"]:
                told = {"version": self.server.table.sample(key)}
            case _:
                raise RefusedError(404, "There is no such page.")
        return as_json(told)

    def body(self):
        """The file that was sent."""
        length = max(0, int(self.headers.get("Content-Length", 0)))
        if length > self.server.max_bytes:
            self.close_connection = True
            raise RefusedError(413, "The file is too large: --max-pixels allows more.")
        return self.rfile.read(length)

    def log_message(self, *parts):
        """Say nothing: the terminal is for errors."""


def as_json(told):
    """The kind of an answer, and the answer."""
    return "application/json", json.dumps(told).encode()


def area_of(picture, options):
    """The part of a picture that is asked for, if it is not all."""
    if "x" not in options:
        return None
    if missing := {"y", "height", "width"} - options.keys():
        raise ValueError(f"An area needs {', '.join(sorted(missing))} too.")
    x, y = float(options["x"]), float(options["y"])
    height, width = int(options["height"]), int(options["width"])
    return area_around(picture.damaged.shape[:2], x, y, height, width)
