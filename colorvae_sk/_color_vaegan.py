"""ColorVAEGAN: the ladder, with samples that please a critic."""

from numbers import Real
from typing import ClassVar

from sklearn.utils._param_validation import Interval

from ._adversary import Adversary
from ._color_vae import ColorVAE
from ._spreading import Spreading
from .networks import AdversarialLadderVAE

CRITIC_WIDTH = 32  # features of its first layer


class ColorVAEGAN(ColorVAE):
    """Restore damaged images, with samples that look sharp.

    :class:`ColorVAE`, whose ladder learns its latents against a critic [1]_: a small
    network that learns at the same time to tell samples of the posterior from
    photographs, patch by patch, and a single sample is to have the sharpness and the
    grain of a photograph. Last, all scales of the latents are multiplied by one number,
    so that samples are as far from the restoration as the truth is, which is what a
    sample of the true posterior is [3]_. What ``transform`` gives is that of ColorVAE,
    to the last bit where epochs are counted and not seconds.

    Parameters
    ----------
    widths : tuple of ints, default=(48, 96, 128)
        Features of the ladder at scales 1/2, 1/4, ...

    n_blocks : int, tuple of ints or two such tuples, default=2
        Gated blocks of the ladder at each scale: as many at each, or a number for each
        of `widths`. The way up and the way down have equally many unless each has a
        tuple of its own, as in ``((2, 3, 2), (2, 3, 4))``.

    n_latent : int, default=None
        Latent channels of each scale (None: 4).

    beta : float, default=1.0
        Price of information; 1 gives the evidence lower bound.

    free_bits : float, default=None
        Nats per value, in each latent layer, that cost nothing. None: 0.02, which keeps
        the coarse latents alive.

    adversarial_weight : float, default=0.5
        Say of the critic: the norm of the gradient that it adds to that of the
        objective, as a share of the latter [2]_. It rises from zero in the first half
        of the stage of the latents. The cost of more is information that the latents
        carry. 0 makes it a ColorVAE: no critic has a say, and nothing is scaled.

    loss : {"gaussian", "laplace", "ms_ssim", "frequency", "ciede2000"}, \
            default="gaussian"
        How a restoration is compared with the clean image. "gaussian" is the logarithm
        of the mean squared error, PSNR itself; "laplace" that of the mean absolute
        error, for which single large errors count less. The others are half of one of
        these and half of what they are named after: structure at several scales, the
        strength of each frequency, and the colour difference, for sRGB images. Rows
        without `image_shape` know the first two. See :doc:`/losses`.

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
        `RandomFlip` and `RandomQuarterTurn`. None: nothing.

    image_shape : tuple (height, width) or (height, width, channels), default=None
        How rows fold into images. None: rows are plain feature vectors, which are
        taken as images of one line.

    patch_size : int, default=None
        Height and width of the crops to learn from, in pixels. None: 64.

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
        Crops of a step. None: 4.

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
        What to start from: the path of a file that `save` wrote, of this class or of a
        ladder of `ColorVAE`, or the name of weights that ship with the package
        (`list_pretrained`). `widths`, `n_blocks` and `n_latent` are then those of the
        file; X must have as many channels. What the file lacks begins with random
        weights. None: random weights.

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
        "ladder".

    history_ : list of dicts
        For each epoch: ``stage``, ``train_loss``, ``train_psnr`` (in dB, of the crops
        as the stage restores them), ``train_kl`` (nats per value of each latent layer;
        the colours' first, then coarse to fine), ``train_active_units`` (units of each
        latent layer that cost more than 0.01 nats per code), in the stage of the
        latents ``critic_gap`` (by how much more the critic likes clean images than
        samples) and ``critic_weight`` (the factor on its gradient), ``n_steps``,
        ``n_skipped`` (steps of the stage whose gradient was not finite), ``seconds``
        since the stage began and, when stopping early, the same of what is held out:
        ``valid_loss``, ``valid_psnr``, ``valid_kl``, ``valid_active_units``.
        `HistoryDisplay` draws it.

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
    ColorVAE : The same without a critic.
    ColorVQVAE : The same with quantised latents.

    Notes
    -----
    The critic is kept with the network, about 60 thousand weights beside a million, so
    that ``partial_fit`` and ``warm_start`` go on with it. Restoring and drawing do not
    use it.

    References
    ----------
    .. [1] A. B. L. Larsen, S. K. Sonderby, H. Larochelle, O. Winther: Autoencoding
       beyond Pixels Using a Learned Similarity Metric, ICML 2016.
    .. [2] P. Esser, R. Rombach, B. Ommer: Taming Transformers for High-Resolution Image
       Synthesis, CVPR 2021.
    .. [3] Y. Blau, T. Michaeli: The Perception-Distortion Tradeoff, CVPR 2018.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from colorvae_sk import ColorVAEGAN, GaussianNoise
    >>> X = astronaut()[None, ::8, ::8]
    >>> vae = ColorVAEGAN(degradation=GaussianNoise(0.1), max_epochs=1, random_state=0)
    >>> samples = vae.fit(X).sample_posterior(X, n_samples=2, random_state=0)
    >>> samples.shape
    (2, 1, 64, 64, 3)
    """

    _parameter_constraints: ClassVar[dict] = {
        **ColorVAE._parameter_constraints,
        "adversarial_weight": [Interval(Real, 0, None, closed="left")],
    }
    del _parameter_constraints["architecture"]
    _networks: ClassVar[dict] = {"ladder": AdversarialLadderVAE}
    architecture = "ladder"

    def __init__(
        self,
        widths=(48, 96, 128),
        n_blocks=2,
        n_latent=None,
        beta=1.0,
        free_bits=None,
        adversarial_weight=0.5,
        loss="gaussian",
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
        self.widths = widths
        self.n_blocks = n_blocks
        self.n_latent = n_latent
        self.beta = beta
        self.free_bits = free_bits
        self.adversarial_weight = adversarial_weight
        self.loss = loss
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

    @property
    def _own_options(self):
        return {"critic_width": CRITIC_WIDTH}

    def _stage_callbacks(self, schedule, file, n_done):
        callbacks = super()._stage_callbacks(schedule, file, n_done)
        if self.net_.module_.stages[n_done] != "latents":
            return callbacks
        adversary = Adversary(schedule, self.adversarial_weight)
        last = [Spreading()] if self.adversarial_weight > 0 else []
        return [adversary, *callbacks, *last]  # the average of the weights comes before
