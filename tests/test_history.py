"""In a notebook an estimator shows how it learned, in HTML that can do no harm."""

import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest
import sklearn
from helpers import every_architecture, tiny

from colorvae_sk._history import by_stage, curves_as_svg, layer_names

HARM = "</pre></text><script>alert(1)</script><img src=x onerror=alert(1)>\"'"
VOID = {"br", "img", "input", "link", "meta"}  # elements that nobody closes


class Elements(HTMLParser):
    """Lists the elements of a page, and complains of those that are not closed."""

    def __init__(self, page):
        super().__init__()
        self.found, self._open = [], []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop() == tag

    def count(self, tag):
        return sum(tag == each for each, _ in self.found)


def row(stage="all", loss=1.0, **more):
    return {"stage": stage, "train_loss": loss, **more}


def test_stages_follow_each_other_even_when_learned_twice():
    rows = [row("a"), row("a"), row("b"), row("a")]
    assert by_stage(rows) == [("a", rows[:2]), ("b", rows[2:3]), ("a", rows[3:])]


def test_layers_are_named_from_coarse_to_fine():
    assert layer_names(1) == ["latent vector"]
    assert layer_names(3) == ["colours", "scale 1/4", "scale 1/2"]


@every_architecture
def test_fitted_estimator_shows_its_curves(architecture, photos):
    vae = tiny(architecture)
    before = Elements(vae._repr_html_())
    theirs = Elements(sklearn.utils.estimator_html_repr(vae))
    assert before.count("svg") == theirs.count("svg")
    vae.fit(photos)
    page = vae._repr_html_()
    assert page.startswith("<style>")  # scikit-learn's own is there, and comes first
    after = Elements(page)
    assert after.count("svg") == before.count("svg") + 1
    assert after.count("script") == before.count("script")
    n_weights = sum(p.numel() for p in vae.net_.module_.parameters())
    assert f"{n_weights:,} weights learned for {len(vae.history_)} epochs" in page
    assert vae._repr_mimebundle_()["text/html"].endswith(vae._html_of_fit())


def test_text_display_has_no_html(photos):
    vae = tiny("dense").fit(photos)
    with sklearn.config_context(display="text"):
        assert not hasattr(vae, "_repr_html_")
        assert list(vae._repr_mimebundle_()) == ["text/plain"]


def test_parameters_and_stages_are_no_way_to_inject_scripts(photos):
    vae = tiny("dense").fit(photos)
    harmless = Elements(vae.set_params(weights="path")._repr_html_())
    vae.set_params(weights=HARM, augmentation=HARM)
    vae.history_ = [each | {"stage": HARM} for each in vae.history_]
    page = Elements(vae._repr_html_())
    assert [tag for tag, _ in page.found if tag == "script"] == [
        tag for tag, _ in harmless.found if tag == "script"
    ]
    assert page.count("img") == 0
    handlers = {name for _, attributes in page.found for name in attributes}
    assert "onerror" not in handlers


@pytest.mark.parametrize(
    "losses", [[1.0], [2.0, 2.0], [3.0, 1.0, np.nan], [np.nan], [np.inf, 1.0, 0.5]]
)
def test_svg_is_valid_xml_whatever_the_losses(losses):
    history = [row(HARM, loss) for loss in losses]
    history += [row("b", 1.0, valid_loss=2.0), row("b", 0.5, valid_loss=1.0)]
    svg = ElementTree.fromstring(curves_as_svg(history))
    texts = [each.text for each in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == HARM and texts[-1] == "loss 1.000 to 0.500"
    for line in svg.iter("{http://www.w3.org/2000/svg}polyline"):
        points = [point.split(",") for point in line.get("points").split()]
        heights = np.array(points, float).reshape(-1, 2)[:, 1]
        assert np.all((heights >= 18) & (heights <= 75))


def test_curves_fall_where_the_loss_falls():
    history = [row(loss=loss, valid_loss=loss + 1) for loss in (3.0, 2.0, 0.0)]
    svg = ElementTree.fromstring(curves_as_svg(history))
    learned, held_out = svg.iter("{http://www.w3.org/2000/svg}polyline")
    for line, last in ((learned, 71.0), (held_out, 58.75)):
        heights = [float(p.split(",")[1]) for p in line.get("points").split()]
        assert heights == sorted(heights)
        assert heights[-1] == pytest.approx(last, abs=0.06)


def test_a_steep_beginning_is_out_of_view():
    losses = [100.0, *np.linspace(1, 0, 19)]
    svg = ElementTree.fromstring(curves_as_svg([row(loss=loss) for loss in losses]))
    (line,) = svg.iter("{http://www.w3.org/2000/svg}polyline")
    heights = [float(p.split(",")[1]) for p in line.get("points").split()]
    assert heights[0] == 22 and heights[10] == pytest.approx(22 + 49 / 2, abs=5)


def test_an_estimator_that_learned_nothing_has_no_curve(photos):
    vae = tiny("dense").fit(photos)
    vae.history_ = []
    assert "<polyline" not in vae._repr_html_()
