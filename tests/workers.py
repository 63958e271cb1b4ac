"""What is sent to other processes: it must be importable there."""

import warnings


def restore(vae, X):
    """Restored images, where warnings are errors as in the tests themselves."""
    warnings.simplefilter("error")
    return vae.transform(X)
