"""Every reducer on the same rows: held-out error, neighbourhoods, time.

`compare_reducers` splits and scales a table once, fits every reducer to the same
training rows and measures all of them on the same held-out rows. `map_quality`
measures any map, `latent_agreement` two sets of latents.
"""

from ._agreement import latent_agreement
from ._comparison import compare_reducers
from ._map_quality import map_quality

__all__ = ["compare_reducers", "latent_agreement", "map_quality"]
