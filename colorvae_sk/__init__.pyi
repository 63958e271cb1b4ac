"""What editors see: the public names, which are imported when they are used."""

from ._color_vae import ColorVAE as ColorVAE
from ._color_vaegan import ColorVAEGAN as ColorVAEGAN
from ._color_vqvae import ColorVQVAE as ColorVQVAE
from ._coverage import coverage_score as coverage_score
from ._coverage import interval_coverage_score as interval_coverage_score
from ._detection import RestorationOutlierDetector as RestorationOutlierDetector
from ._displays import CalibrationDisplay as CalibrationDisplay
from ._displays import HistoryDisplay as HistoryDisplay
from ._latent_displays import LatentDisplay as LatentDisplay
from ._latent_displays import TraversalDisplay as TraversalDisplay
from ._latent_features import LatentFeatures as LatentFeatures
from ._picture_displays import PosteriorDisplay as PosteriorDisplay
from ._picture_displays import RestorationDisplay as RestorationDisplay
from ._self_supervised import make_masked_psnr_scorer as make_masked_psnr_scorer
from ._self_supervised import masked_psnr_scorer as masked_psnr_scorer
from .augmentations import ColorJitter as ColorJitter
from .augmentations import RandomFlip as RandomFlip
from .augmentations import RandomQuarterTurn as RandomQuarterTurn
from .datasets import ImageFolder as ImageFolder
from .datasets import load_photos as load_photos
from .degradations import BaseDegradation as BaseDegradation
from .degradations import ColorCast as ColorCast
from .degradations import DefocusBlur as DefocusBlur
from .degradations import Desaturate as Desaturate
from .degradations import Downsample as Downsample
from .degradations import Fade as Fade
from .degradations import GaussianBlur as GaussianBlur
from .degradations import GaussianNoise as GaussianNoise
from .degradations import JPEGCompression as JPEGCompression
from .degradations import MissingChannels as MissingChannels
from .degradations import MissingPixels as MissingPixels
from .degradations import MissingScratches as MissingScratches
from .degradations import MotionBlur as MotionBlur
from .degradations import PoissonNoise as PoissonNoise
from .degradations import Quantize as Quantize
from .degradations import RandomDegradation as RandomDegradation
from .degradations import SaltPepperNoise as SaltPepperNoise
from .degradations import blind_degradation as blind_degradation
from .folders import FileReport as FileReport
from .folders import restore_folder as restore_folder
from .metrics import ciede2000_error as ciede2000_error
from .metrics import ciede2000_scorer as ciede2000_scorer
from .metrics import ms_ssim_score as ms_ssim_score
from .metrics import ms_ssim_scorer as ms_ssim_scorer
from .metrics import psnr_score as psnr_score
from .metrics import psnr_scorer as psnr_scorer
from .metrics import sharpness_ratio as sharpness_ratio
from .metrics import ssim_score as ssim_score
from .metrics import ssim_scorer as ssim_scorer
from .persistence import load as load
from .persistence import save as save
from .pretrained import list_pretrained as list_pretrained
from .pretrained import load_pretrained as load_pretrained

__version__: str
__all__: list[str]
