"""What stands behind the page of ``colorvae app``: pictures, and what is shown of them.

A `Restoration` holds a picture as it was and as it was restored, at full size. What
the browser shows of it is shrunk, or a part; what it downloads is made from the whole.
"""

import secrets
import time
from contextlib import contextmanager
from io import BytesIO
from threading import Lock, current_thread

import numpy as np
from sklearn.utils import check_random_state

from . import folders
from ._files import MAX_PIXELS, open_picture

SIDE = 1600  # pixels: a picture is shrunk to that where it is shown as a whole
N_SAMPLES = 4  # other restorations of a picture
N_KEPT = 2  # pictures on the table
IDLE = 3600  # seconds after which a picture that nobody asks for is put away
STRIP = 256  # rows that are blended at a time
# Of the error bars, from none to large: red, green, blue and opacity.
RAMP = np.array([(60, 0, 90, 0), (140, 20, 120, 150), (235, 80, 60, 200)])
RAMP = np.vstack([RAMP, (255, 225, 90, 235)])


class Restoration:
    """A picture, restored.

    Parameters
    ----------
    vae : ColorVAE or relative
        Fitted.
    data : bytes
        The picture's file.
    max_pixels : float, default=200_000_000
        Larger pictures are refused.
    watch : callable, default=None
        Is told the share that is done, from 0 to 1, as it grows.

    Attributes
    ----------
    versions : list of ndarrays
        The restored picture, then samples; in the shape and dtype of the file's.
    std : float16 ndarray of shape (H, W)
        Standard deviation, the mean of the channels, as a share of the range of values.
    largest : float
        The standard deviation that all but one in twenty pixels stay below.

    Raises
    ------
    ValueError
        If it is no picture, is damaged or too large.
    """

    def __init__(self, vae, data, max_pixels=MAX_PIXELS, watch=None):
        self.picture = open_picture(data, max_pixels)
        self._vae, self._watch = vae, watch or (lambda share: None)
        options = folders.options_for(vae, max_pixels)
        folders.check_values(self.damaged, options)
        self._is_grey = self.damaged.ndim == 2 and options.n_channels == 3
        restored, std = self._predict()
        self.versions = [self._taken(restored)]
        std = std if std.ndim == 2 else std.mean(axis=2)
        share = np.minimum(std / full_range(self.damaged.dtype), 1)
        self.std = share.astype(np.float16)
        few = self.std[:: max(1, len(self.std) // 1000)]
        self.largest = max(float(np.quantile(few.astype(np.float32), 0.95)), 1e-3)

    @property
    def damaged(self):
        """The picture as it was."""
        return self.picture.colours

    @property
    def _given(self):
        """What the model is given."""
        colours = self.damaged
        return [np.stack([colours] * 3, axis=2) if self._is_grey else colours]

    def _predict(self):
        """The restored picture and its error bars, as ``predict`` has them."""
        images = self._vae._check_damaged(self._given)
        parts = (part for _, *part in self._vae._with_error_bars(images))
        return self._put(parts, images.canvas(), images.spread_canvas())

    def _sample(self, seed):
        """What ``sample_posterior`` draws with this seed."""
        images = self._vae._check_damaged(self._given)
        key = int(check_random_state(seed).randint(2**31 - 1))
        ((_, parts),) = self._vae._restorer().restore_parts(images, key=key)
        return self._put(parts, images.canvas())[0]

    def _put(self, parts, *canvases):
        """Put the parts on canvases, and tell how far it is."""
        done, whole = 0, self.damaged.shape[0] * self.damaged.shape[1]
        for rows, columns, *values in parts:
            for canvas, value in zip(canvases, values, strict=False):
                canvas.write(0, rows, columns, value)
            done += values[0][0].size
            self._watch(min(done / whole, 1.0))  # smaller tiles begin anew
        return [canvas.result()[0] for canvas in canvases]

    def _taken(self, restored):
        """What is taken of the model's answer."""
        return folders.as_grey(restored) if self._is_grey else restored

    def sample(self):
        """Draw one more restoration that is plausible; its number."""
        number = len(self.versions)
        if number > N_SAMPLES:
            raise ValueError(f"No more than {N_SAMPLES} other restorations are kept.")
        self.versions.append(self._taken(self._sample(number)))
        return number

    def file(self, number=0, strength=1.0):
        """The file at full size and depth.

        Parameters
        ----------
        number : int, default=0
            Of the version.
        strength : float, default=1.0
            From 0, the picture as it was, to 1, restored in full.

        Returns
        -------
        data : bytes
        """
        colours = blend(self.damaged, self.version(number), strength)
        return self.picture.with_colours(colours)

    def version(self, number):
        """The restored picture, or a sample."""
        if not 0 <= number < len(self.versions):
            raise KeyError(f"There is no restoration {number} of this picture.")
        return self.versions[number]

    def shown(self, layer, area=None, side=SIDE):
        """A PNG file of what the page shows.

        Parameters
        ----------
        layer : {"before", "error"} or int
            The picture as it was, the error bars, or the number of a version.
        area : pair of slices, default=None
            Rows and columns. None: all of it.
        side : int, default=1600
            It is shrunk to at most so many pixels of height and width.

        Returns
        -------
        data : bytes
        """
        values = {"before": self.damaged, "error": self.std}.get(layer)
        values = self.version(layer) if values is None else values
        values = values if area is None else values[area]
        if layer == "error":
            values = coloured(shrunk(as_bytes(values / np.float16(self.largest)), side))
        else:
            values = shrunk(with_holes(values), side)
        return png(values)

    def facts(self):
        """What the page tells of it."""
        height, width = self.damaged.shape[:2]
        return {"width": width, "height": height, "largest": 255 * self.largest}


class Table:
    """The pictures at hand: few, and none forever.

    Parameters
    ----------
    vae : ColorVAE or relative
        Fitted.
    max_pixels : float, default=200_000_000
        Larger pictures are refused.

    Attributes
    ----------
    done : float
        Share of the picture at work that is done.
    """

    def __init__(self, vae, max_pixels=MAX_PIXELS):
        self.done, self._worker, self._is_closed = 0.0, None, False
        self._vae, self._max_pixels = vae, max_pixels
        self._lock, self._at_work = Lock(), Lock()  # one picture is at work at a time
        self._pictures, self._used = {}, {}

    def restore(self, data):
        """Restore the picture in a file; a name for it that nobody guesses."""
        with self._turn():
            restoration = Restoration(self._vae, data, self._max_pixels, self._watch)
        key = secrets.token_urlsafe(16)
        with self._lock:
            while len(self._pictures) >= N_KEPT:
                self._forget(min(self._used, key=self._used.get))
            self._pictures[key], self._used[key] = restoration, time.monotonic()
        return key

    def sample(self, key):
        """Draw one more restoration of the picture of this name; its number."""
        restoration = self.find(key)
        with self._turn():
            return restoration.sample()

    @contextmanager
    def _turn(self):
        """Wait until no other picture is at work."""
        with self._at_work:
            self._worker = current_thread()
            self._watch(0.0)
            yield

    def _watch(self, share):
        if self._is_closed:
            raise ValueError("The page was closed.")
        self.done = share

    def close(self):
        """Put down the picture at work, and wait until its thread has ended."""
        self._is_closed = True
        if self._worker is not None:
            self._worker.join()

    def find(self, key):
        """The restoration of this name."""
        with self._lock:
            if key not in self._pictures:
                raise KeyError("This picture was put away. Drop it once more.")
            self._used[key] = time.monotonic()
            return self._pictures[key]

    def forget_idle(self):
        """Put away what nobody has asked for lately."""
        with self._lock:
            late = time.monotonic() - IDLE
            for key in [key for key, used in self._used.items() if used < late]:
                self._forget(key)

    def _forget(self, key):
        del self._pictures[key], self._used[key]

    def __len__(self):
        return len(self._pictures)


# ------------------------------------------------------------------ pixels
def blend(damaged, restored, strength):
    """What lies between a picture as it was and restored; holes are filled in full.

    Parameters
    ----------
    damaged, restored : ndarray
        Of one shape and dtype.
    strength : float
        From 0, the first, to 1, the second.

    Returns
    -------
    blended : ndarray
        In their dtype.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"Expected a strength from 0 to 1, got {strength:g}.")
    if strength == 1:
        return restored
    if damaged.dtype.kind == "b":
        return restored if strength >= 0.5 else damaged
    blended = np.empty_like(restored)
    for start in range(0, len(damaged), STRIP):
        rows = slice(start, start + STRIP)
        before, after = (part[rows].astype(np.float32) for part in (damaged, restored))
        between = before + np.float32(strength) * (after - before)
        between = np.where(np.isnan(before), after, between)
        whole = damaged.dtype.kind in "ui"
        blended[rows] = np.rint(between) if whole else between
    return blended


def full_range(dtype):
    """The value that means 1."""
    return np.iinfo(dtype).max if dtype.kind in "ui" else 1.0


def as_bytes(values):
    """Values on the range of their dtype as uint8; missing ones as 0."""
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind in "ui":
        return (values >> 8).astype(np.uint8)
    unit = np.nan_to_num(values.astype(np.float32), nan=0.0).clip(0, 1)
    return np.rint(255 * unit).astype(np.uint8)


def with_holes(colours):
    """A picture as uint8, (H, W[, C]); where something is missing it is transparent."""
    seen = as_bytes(colours)
    missing = np.isnan(colours) if colours.dtype.kind == "f" else np.zeros(1, bool)
    if not missing.any():
        return seen
    missing = missing if missing.ndim == 2 else missing.any(axis=2)
    seen = np.stack([seen] * 3, axis=2) if seen.ndim == 2 else seen
    return np.dstack([seen, np.where(missing, 0, 255).astype(np.uint8)])


def shrunk(values, side):
    """An image of uint8 as Pillow has it, at most `side` pixels high and wide."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(values))
    if max(image.size) > side:
        image.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=2)
    return image


def coloured(levels):
    """Levels, an image of bytes, in the colours and opacities of the ramp."""
    from PIL import Image

    steps = np.linspace(0, 255, len(RAMP))
    table = [np.interp(np.arange(256), steps, channel) for channel in RAMP.T]
    table = np.rint(np.stack(table, axis=1)).astype(np.uint8)
    return Image.fromarray(table[np.asarray(levels)])


def png(image):
    """A Pillow image as a PNG file; that is fast to write, as it travels nowhere."""
    file = BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def area_around(size, x, y, height, width):
    """The part of a picture around a place.

    Parameters
    ----------
    size : pair of ints
        Height and width of the picture.
    x, y : float
        The place, from 0 to 1.
    height, width : int
        Of the part, in pixels; `SIDE` at most, and no more than the picture has.

    Returns
    -------
    rows, columns : pair of slices
    """
    slices = []
    for full, centre, part in zip(size, (y, x), (height, width), strict=True):
        part = max(1, min(part, full, SIDE))
        start = round(min(max(centre, 0), 1) * full - part / 2)
        start = min(max(start, 0), full - part)
        slices.append(slice(start, start + part))
    return tuple(slices)
