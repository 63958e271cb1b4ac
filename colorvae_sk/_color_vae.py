"""ColorVAE: restore the true colours of damaged pictures."""

from numbers import Integral
from typing import ClassVar

from sklearn.utils._param_validation import Interval, StrOptions

from ._base import BaseColorVAE
from ._distortions import LOSSES
from .networks import ConvVAE, DenseVAE, LadderVAE

NETWORKS = {"ladder": LadderVAE, "conv": ConvVAE, "dense": DenseVAE}
N_LATENT = {"ladder": 4, "conv": 128, "dense": 8}
PATCH_SIZES = {"ladder": 64, "conv": 32, "dense": 16}  # pixels
BATCH_SIZES = {"ladder": 4, "conv": 64, "dense": 128}
FREE_BITS = {"ladder": 0.02, "conv": 0.0, "dense": 0.0}  # nats per value
SMALL = 4096  # values of an image that is learned whole


class ColorVAE(BaseColorVAE):
    """Restore damaged images with a variational autoencoder.

    Fitted on clean images, which it damages itself, or on pairs of damaged and clean
    ones, it gives back damaged images restored: in the same container, shape and dtype,
    with error bars and with samples of what else might have been.

    Parameters
    ----------
    architecture : {"auto", "ladder", "conv", "dense"}, default="auto"
        The network. "ladder" is a conditional hierarchical VAE [1]_ [2]_ for images of
        any size. "conv" and "dense" squeeze each image (or patch) of one size through
        one latent vector, for compact codes. "auto" is "ladder" for images and "dense"
        for rows without `image_shape`.

    widths : tuple of ints, default=(48, 96, 128)
        Features of the ladder at scales 1/2, 1/4, ...

    n_blocks : int, tuple of ints or two such tuples, default=2
        Gated blocks of the ladder at each scale: as many at each, or a number for each
        of `widths`. The way up and the way down have equally many unless each has a
        tuple of its own, as in ``((2, 3, 2), (2, 3, 4))``.

    n_latent : int, default=None
        Latent channels of each scale of the ladder (None: 4), or length of the latent
        vector of the others (None: 128 for "conv", 8 for "dense").

    beta : float, default=1.0
        Price of information [3]_; 1 gives the evidence lower bound.

    loss : {"gaussian", "laplace", "ms_ssim", "frequency", "ciede2000"}, \
            default="gaussian"
        How a restoration is compared with the clean image. "gaussian" is the logarithm
        of the mean squared error, PSNR itself; "laplace" that of the mean absolute
        error, for which single large errors count less. The others are half of one of
        these and half of what they are named after: structure at several scales, the
        strength of each frequency, and the colour difference, for sRGB images. Rows
        without `image_shape` know the first two. See :doc:`/losses`.

    free_bits : float, default=None
        Nats per value, in each latent layer, that cost nothing [4]_. None: 0.02 for the
        ladder, which keeps its coarse latents alive, and 0 for the others.

    degradation : "blind", degradation, callable, transformer, Pipeline of these or \
            None, default="blind"
        The damage that is done to clean images, afresh in each batch, when there is no
        `y`. "blind" is the mixture of `blind_degradation`; of rows without
        `image_shape`, noise and missing values. A function, or a transformer that needs
        no fitting, takes and gives float32 arrays (n, H, W, C) on the [0, 1] scale (of
        rows: (n, n_features)) and runs on the CPU; where the network is on
        another device, in the background. None: each image is its own target, as in a
        plain VAE.

    augmentation : "auto", augmentation, list of augmentations or None, default="auto"
        How crops are varied before they are damaged; pairs are changed alike. "auto":
        `RandomFlip` and `RandomQuarterTurn` for the ladder, nothing for the others.
        None: nothing.

    image_shape : tuple (height, width) or (height, width, channels), default=None
        How rows fold into images. None: rows are plain feature vectors.

    patch_size : int, default=None
        Height and width of the crops to learn from, in pixels. None: 64 for the ladder;
        for the others, images that all have one size and at most 4096 values are
        learned whole, and else in patches of 32 ("conv") or 16 ("dense").

    latent_share : float in (0, 1), default=0.25
        Share of the budget (epochs and seconds) in which the ladder learns its latents,
        after all else. Of the rest, a tenth goes to the colours, which are learned
        first, from tiles of 16 pixels all over the pictures, together as large as a
        crop (so small crops cost them), and a twentieth to the error bars, after the
        restoration. Each of the four stages takes at least one epoch.

    max_epochs : int, default=20
        Passes over the data; an epoch sees as many pixels as the images have.

    max_seconds : float, default=None
        Time to learn, in seconds. The learning rate falls to zero at the end of
        `max_epochs` or of `max_seconds`, whichever comes first.

    batch_size : int, default=None
        Crops of a step. None: 4 for the ladder, 64 for "conv", 128 for "dense".

    lr : float, default=0.004
        Highest learning rate of Muon and AdamW.

    ema_decay : float in [0, 1), default=0.99
        Share of the running average of the weights that each step keeps.

    early_stopping : bool, default=False
        Whether to hold out images, and end a stage when their loss stops falling.

    validation_fraction : float in (0, 1), default=0.1
        Share of the images that is held out.

    n_iter_no_change : int, default=10
        Epochs without a better validation loss that are waited for.

    warm_start : bool, default=False
        Whether `fit` goes on from what was learned before.

    mixed_precision : bool or "auto", default="auto"
        Whether to learn in bfloat16 where that is safe. "auto": where the device, CUDA
        or CPU, computes in it. Such a CPU restores with it too, unless this is False,
        which changes values on [0, 1] by about 0.0003; codes and bounds are exact.

    tile_size : int, default=None
        The ladder restores images of more pixels than a square of this side tile by
        tile, with the same result: the smaller, the less memory is needed beside X and
        the result. It is at least 88 pixels with the default depth. None: 512 pixels
        on the CPU, but small images are restored whole; 1024 on other devices.

    device : str, default="auto"
        Where torch computes. "auto": CUDA if there is one, else MPS, else the CPU.
        Where there is no CUDA, a model that asks for it computes on the CPU.

    weights : str, default=None
        What to start from: the name of weights that ship with the package
        (`list_pretrained`), or the path of a file that `save` wrote. Architecture,
        `widths`, `n_blocks`, `n_latent` and the size that a "conv" or "dense" network
        takes are then those of the file; X must have as many channels. None: random
        weights.

    callbacks : list of skorch callbacks, default=None
        The user's own; they are cloned for each stage.

    checkpoint : str or Path, default=None
        Folder in which `fit` writes down each minute, or less often where that takes
        long, how far it has come. A fit with equal parameters and images that is begun
        later goes on from there, be it on another machine, and gives the same weights
        on a CPU as one that was never cut off, if it counts epochs and not seconds. Of
        the parameters, `callbacks`, `checkpoint`, `device`, `tile_size` and `verbose`
        may differ; users' callbacks begin anew. Each fit has a file of its own in the
        folder, so that the fits of a search don't meet.

    verbose : int, default=0
        1 shows a bar with the time left.

    random_state : int, RandomState instance or None, default=None
        Pass an int for the same weights from the same data.

    Attributes
    ----------
    net_ : skorch.NeuralNet
        The net around the network, ``net_.module_``.

    architecture_ : str
        The network that was chosen.

    history_ : list of dicts
        For each epoch: ``stage``, ``train_loss``, ``train_psnr`` (in dB, of the crops
        as the stage restores them), ``train_kl`` (nats per value of each
        latent layer; the colours' first, then coarse to fine), ``train_active_units``
        (units of each latent layer that cost more than 0.01 nats per code),
        ``n_steps``, ``n_skipped`` (steps of the stage whose gradient was not finite),
        ``seconds`` since the stage began and, when stopping early, the same of what is
        held out: ``valid_loss``, ``valid_psnr``, ``valid_kl``,
        ``valid_active_units``. `HistoryDisplay` draws it.

    n_channels_ : int
        Channels of the images, not counting alpha.

    patch_size_ : tuple of ints
        Height and width of the crops.

    data_range_ : pair of floats
        Values that meant 0 and 1, for floats and wide integers.

    image_mode_ : bool
        Whether it was fitted on images rather than on rows.

    calibration_ : Calibration
        What `calibrate` found: how standard deviations are set right, and how far
        intervals reach. Only after `calibrate`; learning anew forgets it.

    n_features_in_ : int
        Values of a row. Only when fitted on rows.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features. Only when fitted on a data frame.

    See Also
    --------
    colorvae_sk.degradations : The damage that can be learned to undo.
    load_pretrained : A fitted one that ships with the package.
    save : Keep a fitted one in a file without pickle.

    References
    ----------
    .. [1] K. Sohn, H. Lee, X. Yan: Learning Structured Output Representation using
       Deep Conditional Generative Models, NeurIPS 2015.
    .. [2] R. Child: Very Deep VAEs Generalize Autoregressive Models and Can
       Outperform Them on Images, ICLR 2021.
    .. [3] I. Higgins et al.: beta-VAE, ICLR 2017.
    .. [4] D. P. Kingma et al.: Improving Variational Inference with Inverse
       Autoregressive Flow, NeurIPS 2016.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from colorvae_sk import ColorVAE, GaussianNoise
    >>> X = astronaut()[None, ::8, ::8]
    >>> vae = ColorVAE(degradation=GaussianNoise(0.1), max_epochs=1, random_state=0)
    >>> restored = vae.fit(X).transform(X)
    >>> restored.shape, restored.dtype
    ((1, 64, 64, 3), dtype('uint8'))
    """

    _parameter_constraints: ClassVar[dict] = {
        **BaseColorVAE._parameter_constraints,
        "architecture": [StrOptions({"auto", *NETWORKS})],
        "widths": [tuple, list],
        "n_blocks": [Interval(Integral, 1, None, closed="left"), tuple, list],
        "n_latent": [Interval(Integral, 1, None, closed="left"), None],
        "loss": [StrOptions({*LOSSES})],
    }
    _networks: ClassVar[dict] = NETWORKS

    def __init__(
        self,
        architecture="auto",
        widths=(48, 96, 128),
        n_blocks=2,
        n_latent=None,
        beta=1.0,
        loss="gaussian",
        free_bits=None,
        degradation="blind",
        augmentation="auto",
        image_shape=None,
        patch_size=None,
        latent_share=0.25,
        max_epochs=20,
        max_seconds=None,
        batch_size=None,
        lr=4e-3,
        ema_decay=0.99,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        warm_start=False,
        mixed_precision="auto",
        tile_size=None,
        device="auto",
        weights=None,
        callbacks=None,
        checkpoint=None,
        verbose=0,
        random_state=None,
    ):
        self.architecture = architecture
        self.widths = widths
        self.n_blocks = n_blocks
        self.n_latent = n_latent
        self.beta = beta
        self.loss = loss
        self.free_bits = free_bits
        self.degradation = degradation
        self.augmentation = augmentation
        self.image_shape = image_shape
        self.patch_size = patch_size
        self.latent_share = latent_share
        self.max_epochs = max_epochs
        self.max_seconds = max_seconds
        self.batch_size = batch_size
        self.lr = lr
        self.ema_decay = ema_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.mixed_precision = mixed_precision
        self.tile_size = tile_size
        self.device = device
        self.weights = weights
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.random_state = random_state

    def _plan(self, images):
        """Choose architecture and patches; plain values to build the network from."""
        kind = self._choose_architecture(images)
        self.architecture_, self.patch_size_ = kind, self._choose_patch(kind, images)
        options = {"n_latent": self.n_latent or N_LATENT[kind]}
        if kind == "ladder":
            check_widths(self.widths, type(self).__name__)
            options |= {"widths": tuple(self.widths), "n_blocks": self._blocks()}
            options |= self._own_options
        else:
            options |= {"fixed_size": self.patch_size_}
        return kind, {"n_channels": images.n_channels, **options}

    def _adopt(self, blueprint, images):
        """Choose patches for a network that is there, if the images fit it."""
        kind, options = blueprint
        if kind not in self._networks:
            raise ValueError(
                f"weights={self.weights!r} are of a {kind!r} network, but "
                f"{type(self).__name__} has a ladder. Pass weights=None."
            )
        n_channels, fixed_size = options["n_channels"], options.get("fixed_size")
        if images.n_channels != n_channels:
            raise ValueError(
                f"X has {images.n_channels} channel(s), but weights={self.weights!r} "
                f"are for images of {n_channels}. Convert the images, or pass "
                "weights=None."
            )
        if fixed_size is not None:
            self._check_size_of_patches(fixed_size, images)
        self.architecture_ = kind
        self.patch_size_ = fixed_size or self._choose_patch(kind, images)
        return kind, self._own_options | options

    @property
    def _own_options(self):
        """What a relative tells its ladder beside."""
        return {}

    def _check_size_of_patches(self, size, images):
        """Complain if images are smaller than the network, or rows not of its size."""
        limits = largest_sides(shapes_of(images))
        is_small = any(side < full for side, full in zip(limits, size, strict=True))
        if is_small or (self._is_plain and limits != size):
            raise ValueError(
                f"X has images up to {limits} (a row is an image of one line), but "
                f"weights={self.weights!r} are for patches of {size}. Pass images "
                "that are large enough, rows of that length, or weights=None."
            )

    def _build(self, blueprint):
        kind, options = blueprint
        return self._networks[kind](**options)

    def _choose_architecture(self, images):
        if self.architecture != "auto":
            return self.architecture
        return "dense" if images.is_rows and self.image_shape is None else "ladder"

    def _choose_patch(self, kind, images):
        """Crops of the wanted size, but none larger than the largest image."""
        shapes = shapes_of(images)
        limits = largest_sides(shapes)
        n_values = limits[0] * limits[1] * images.n_channels
        is_plain = images.is_rows and self.image_shape is None
        is_small = len(shapes) == 1 and n_values <= SMALL and kind != "ladder"
        if is_plain or (is_small and self.patch_size is None):
            return limits
        wanted = int(self.patch_size or PATCH_SIZES[kind])
        return tuple(min(wanted, limit) for limit in limits)

    def _blocks(self):
        """How many gated blocks there are at each scale, or at each of both ways."""
        if isinstance(self.n_blocks, Integral):
            return (int(self.n_blocks),) * len(self.widths)
        check_blocks(self.n_blocks, len(self.widths), type(self).__name__)
        return tuple(tuple(n) if is_list(n) else n for n in self.n_blocks)

    @property
    def _free_bits(self):
        usual = FREE_BITS[self.architecture_]
        return float(usual if self.free_bits is None else self.free_bits)

    @property
    def _default_batch_size(self):
        return BATCH_SIZES[self.architecture_]


def shapes_of(images):
    """The heights and widths that occur: a set of pairs."""
    return {images.shape(i) for i in range(len(images))}


def largest_sides(shapes):
    """The largest height and the largest width."""
    return tuple(max(sides) for sides in zip(*shapes, strict=True))


def check_blocks(n_blocks, n_scales, name):
    """Complain unless there is a number of blocks for each scale, or two of them."""
    has_ways = len(n_blocks) == 2 and all(map(is_list, n_blocks))
    ways = n_blocks if has_ways else [n_blocks]
    is_count = [isinstance(n, Integral) and n > 0 for way in ways for n in way]
    if {len(way) for way in ways} != {n_scales} or not all(is_count):
        raise ValueError(
            f"The 'n_blocks' parameter of {name} must be an int above 0, one for each "
            f"of the {n_scales} widths, or two such tuples: on the way up and on the "
            f"way down. Got {n_blocks!r} instead."
        )


def is_list(value):
    """Whether a parameter is a tuple or a list."""
    return isinstance(value, tuple | list)


def check_widths(widths, name):
    """Complain unless these are numbers of features."""
    if not widths or not all(isinstance(w, Integral) and w > 1 for w in widths):
        raise ValueError(
            f"The 'widths' parameter of {name} must be ints above 1, one for each "
            f"scale, such as (48, 96, 128). Got {widths!r} instead."
        )
