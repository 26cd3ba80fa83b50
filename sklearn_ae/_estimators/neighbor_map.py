"""NeighborMapTransformer: t-SNE's map with a way there for new rows and a way back."""

import copy
import math
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
import torch
from scipy.sparse import csr_matrix, vstack
from sklearn.neighbors import NearestNeighbors
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor, nn

from .._inference.described import DescribedRows
from .._inference.inference import Encoded, Inference, some
from .._inference.placement import Placed
from .._inference.settling import MOST_GRIDDED
from .._networks.architecture import Architecture, NetworkSpec
from .._networks.contrast import NeighborMap
from .._networks.corruptions import GaussianCorruption
from .._networks.fourier import FourierDecoder, FourierFeatures
from .._networks.losses import LOSSES, SquaredError
from .._networks.modules import Autoencoder
from .._networks.starts import LinearPaths, RandomStart, UnitPCAStart
from .._tables.columns import Columns
from .._tables.inverted_file import InvertedFile
from .._tables.neighbors import (
    METRICS,
    as_graph,
    check_graph,
    comparable,
    find_neighbors,
)
from .._tables.rows import Table
from .._training import recipe
from .._training.decoding import regress, train_decoder
from .._training.pairs import (
    LEARNING_RATE,
    ROUGH_SIZES,
    SIZES,
    MapRecipe,
    NeighborObjective,
)
from .._training.plans import Plan
from .._utils.arrays import read_stream
from .._utils.device import as_global
from .._utils.processes import Processes
from .._utils.random import SEED_LIMIT, make_random_state
from .._utils.types import (
    Activation,
    Auto,
    Callbacks,
    Device,
    HiddenLayerSizes,
    InferenceName,
    Loss,
    Metric,
    Network,
    PathLike,
    Precision,
    RandomState,
    Shape,
)
from .._utils.warnings import warn
from .autoencoders import BaseAutoencoder
from .base import FitTable
from .design import Design, Trained

# Rows that new rows are put between, nearest first, and where these are looked for cell
# by cell: between more of them a row of Fashion-MNIST has more of its neighbours about
# it (.305 after .296), and a little less often its own class (.823 after .827).
_N_PLACED_BETWEEN, _N_PLACED_BETWEEN_OF_MANY = 5, 10
# Rows of a training up to which all are looked at for each new row.
_MOST_COMPARED = 20_000
# Rows of the training that judge a map.
_N_LANDMARKS = 500


@dataclass(frozen=True)
class NeighborTable(FitTable):
    """The rows of a fit, all in memory, and a graph of them if one was given."""

    graph: Any = None

    def weighted(self, weights: np.ndarray | None) -> "NeighborTable":
        return self  # the graph knows the rows by their places

    def without_rows(self) -> Self:
        return replace(super().without_rows(), graph=None)

    def of_all(self, processes: Processes) -> Self | None:
        """Of the graph a process has the lines of its own rows."""
        graphs = processes.gather_in_first(self.graph)
        known = [csr_matrix(graph) for graph in graphs if graph is not None]
        table = super().of_all(processes)
        return replace(table, graph=vstack(known)) if known and table else table


class NeighborMapTransformer(BaseAutoencoder):
    """Parametric t-SNE: a map of neighbours, for new rows too, with a way back.

    Rows that are neighbours lie near each other on the map, and clusters apart, as with
    t-SNE and UMAP. Unlike t-SNE it has a `transform` for new rows and an
    `inverse_transform`, from the map to rows. Distances between clusters mean little,
    and so do their sizes.

    An encoder that starts as PCA learns to tell each row's neighbours from other rows
    (InfoNC-t-SNE [1]_). The training rows then settle: each moves on by itself, down
    t-SNE's objective, and new rows are put between their nearest training rows. At last
    a decoder learns the way back.

    Parameters
    ----------
    n_components : int, default=2
        Number of latents, at least 1.

    n_neighbors : int, default=15
        Neighbours of each row that should stay its neighbours. At most as many as
        there are other rows; more are reduced to that, with a warning. Where all rows
        are neighbours of each other, the map shrinks to a point.

    metric : {"euclidean", "manhattan", "chebyshev", "cosine", "correlation", \
            "braycurtis", "canberra", "precomputed"}, default="euclidean"
        What is near, in the units of X. All distances are looked at, block by block,
        or on long tables, where that would take minutes, those that
        ``pynndescent`` chooses (extra ``maps``). Euclidean neighbours among many rows
        of more than 50 columns are those of 50 principal components. With
        "precomputed" `fit` is given the graph, and the encoder is the map.

    hidden_layer_sizes : "auto" or sequence of int, default="auto"
        Widths of the encoder's hidden layers, first to last; the decoder has them in
        reverse. An empty sequence gives linear networks. "auto" takes (256, 256) where
        rows settle and (512, 512, 512) else. With ``image_shape`` these are channels
        of convolutions.

    activation : {"identity", "logistic", "tanh", "relu", "leaky_relu", "elu", \
            "gelu", "silu"}, default="silu"
        What stands between the layers.

    loss : {"squared_error", "absolute_error", "log_loss"}, default="squared_error"
        What the way back is judged by. "log_loss" (binary cross-entropy) is for values
        in [0, 1]; what comes back then is in (0, 1) too.

    init : {"auto", "pca", "random"}, default="auto"
        "pca" starts the encoder as PCA, a linear path plus an MLP whose last layer is
        zero, so that the map as a whole is laid out like PCA's; "random" gives plain
        MLPs. "auto" takes "pca" where it can.

    encoder, decoder : torch.nn.Module, callable or None, default=None
        Networks of your own. An instance is copied, never trained itself. A class or
        a function is called with the widths of input and output, ``encoder(n_features,
        n_components)`` and ``decoder(n_components, n_features)``, or with nothing
        where it takes nothing.

    image_shape : tuple (height, width) or (height, width, channels), default=None
        Rows of X are flattened images of this shape, the last axis fastest, and the
        networks are convolutional. X and latents stay 2-D arrays.

    corruption_level : float, default=0.3
        Noise on what the encoder sees in training, in standard deviations of each
        column. Without any it learns a short table by heart.

    inference : {"auto", "refined", "encoder"}, default="auto"
        Where rows lie. "encoder" takes one pass of the encoder. "refined" lets the
        training rows settle, and puts new rows between the nearest of them, as the
        transforms of t-SNE and UMAP do: the map is much better, and the estimator
        keeps the training rows. Of more than 20,000 rows with a Euclidean metric it
        keeps at most 100 principal components, and looks only at those that lie near
        a new row. "auto" is "refined" but for longer tables with another metric or
        more than two latents.

    learning_rate_init : float or "auto", default="auto"
        Peak learning rate of Adam; "auto" takes 2e-3 for the encoder, for the decoder
        what `AutoencoderTransformer` takes; where a training diverges, a tenth and then
        a hundredth.

    alpha : float or "auto", default="auto"
        Weight decay of the networks beside the linear paths, for the training as a
        whole: weights that the data do not hold shrink by a factor of exp(-alpha).
        "auto" takes none for the encoder.

    batch_size : int or "auto", default="auto"
        Pairs of neighbours per step of the encoder: each row of a step is told from
        all the others, so that more pairs make clusters clearer. "auto" takes 512
        where rows settle and 1024 else. The decoder sees as many rows, or with "auto"
        128, and more on tables of over 10,000 rows.

    max_iter : int or "auto", default="auto"
        Epochs of encoder and decoder, at most, with a pair for each row in every one.
        "auto" takes as many as make 500 steps of the encoder where rows settle, and
        3000 else, but not over 300. With 0 nothing is trained, and the map is PCA's.

    random_state : int, RandomState instance or None, default=0
        Seed of everything random. An integer gives the same bits on every fit; None
        takes fresh entropy. The global generators are never touched.

    verbose : int, default=0
        1 shows progress bars with the losses of encoder and decoder.

    device : str or torch.device, default="auto"
        Where to compute: "auto" takes CUDA where it is there, else the CPU.

    precision : {"auto", "float32", "bfloat16"}, default="auto"
        What training steps multiply in. "auto" takes "bfloat16" where the processor
        has instructions for it and layers are wide.

    callbacks : list of skorch callbacks or None, default=None
        Callbacks that follow the training of the encoder.

    checkpoint : str, path or None, default=None
        File in which `fit` keeps its training on the way, at least a minute apart: a
        process that is killed loses no more, and the same `fit` in another goes on from
        there to the same bits. One of other data, parameters or versions is refused. In
        a folder each fit has a file of its own, as in a search. Not with callbacks.

    Attributes
    ----------
    module_ : torch.nn.Module
        The trained module. Called with rows in the units of X it encodes and decodes
        them, in one pass. It holds up to 500 training rows, which judge it.

    graph_ : scipy.sparse.csr_matrix of shape (n_samples, n_samples)
        The neighbours of each training row.

    n_components_ : int
        Number of latents.

    n_features_in_ : int
        Number of columns seen in `fit`.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where X had names that are all strings.

    n_iter_ : int
        Epochs that the encoder was trained.

    best_iter_ : int
        Epoch after which training rows told their neighbours best. Its weights are
        kept.

    loss_curve_ : list of float
        Mean loss of the pairs in each epoch, in nats.

    validation_loss_curve_ : None
        No rows are held out.

    reconstruction_err_ : float
        Mean ``loss`` between the training rows and what comes back of their latents,
        per feature and in the units of X.

    history_ : skorch.history.History
        skorch's record of the encoder's training.

    See Also
    --------
    AutoencoderTransformer : Latents that keep the rows rather than their neighbours.
    sklearn.manifold.TSNE : The map without a transform.

    References
    ----------
    .. [1] S. Damrich, J. N. Boehm, F. A. Hamprecht and D. Kobak, "From t-SNE to UMAP
       with contrastive learning", International Conference on Learning
       Representations, 2023.

    .. [2] L. van der Maaten, "Learning a parametric embedding by preserving local
       structure", International Conference on Artificial Intelligence and Statistics,
       2009.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_ae import NeighborMapTransformer
    >>> X = load_iris().data
    >>> map_of_rows = NeighborMapTransformer().fit(X[::2])
    >>> Z = map_of_rows.transform(X[1::2])
    >>> Z.shape
    (75, 2)
    >>> map_of_rows.inverse_transform(Z).shape
    (75, 4)
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **BaseAutoencoder._parameter_constraints,
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions({*METRICS, "precomputed"})],
        "corruption_level": [Interval(Real, 0, None, closed="left")],
    }

    # What others have as parameters: a map is trained on all rows, to the end of its
    # schedule, and never goes on.
    early_stopping = warm_start = False
    n_iter_no_change = math.inf
    tol = 0.0

    graph_: csr_matrix

    def __init__(
        self,
        n_components: int = 2,
        *,
        n_neighbors: int = 15,
        metric: Metric = "euclidean",
        hidden_layer_sizes: HiddenLayerSizes = "auto",
        activation: Activation = "silu",
        loss: Loss = "squared_error",
        init: Literal["auto", "pca", "random"] = "auto",
        encoder: Network = None,
        decoder: Network = None,
        image_shape: Shape = None,
        corruption_level: float = 0.3,
        inference: InferenceName = "auto",
        learning_rate_init: float | Auto = "auto",
        alpha: float | Auto = "auto",
        batch_size: int | Auto = "auto",
        max_iter: int | Auto = "auto",
        random_state: RandomState = 0,
        verbose: int = 0,
        device: Device = "auto",
        precision: Precision = "auto",
        callbacks: Callbacks = None,
        checkpoint: PathLike | None = None,
    ) -> None:
        self.n_components = n_components
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.loss = loss
        self.init = init
        self.encoder = encoder
        self.decoder = decoder
        self.image_shape = image_shape
        self.corruption_level = corruption_level
        self.inference = inference
        self.learning_rate_init = learning_rate_init
        self.alpha = alpha
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.random_state = random_state
        self.verbose = verbose
        self.device = device
        self.precision = precision
        self.callbacks = callbacks
        self.checkpoint = checkpoint

    # Pairs of neighbours are what counts here, not rows.
    def fit(self, X: Any, y: Any = None, *, graph: Any = None) -> Self:  # type: ignore[override]
        """Learn the map of the rows of X, and the way back.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows, in any units.

        y : None
            Ignored: here for scikit-learn's Pipeline.

        graph : sparse matrix of shape (n_samples, n_samples), default=None
            With ``metric="precomputed"`` the neighbours of each row, as
            `sklearn.neighbors.kneighbors_graph` gives them: what is stored in a row
            are its neighbours, whatever their values. Each of several processes gives
            the lines of its own rows, with a column for every row of all.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        self._fit(X, graph)
        return self

    def fit_transform(  # type: ignore[override]
        self, X: Any, y: Any = None, *, graph: Any = None
    ) -> np.ndarray:
        """Learn the map of the rows of X, and give their places on it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training rows, in any units.

        y : None
            Ignored: here for scikit-learn's Pipeline.

        graph : sparse matrix of shape (n_samples, n_samples), default=None
            The neighbours of each row, with ``metric="precomputed"``.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components)
            Equal to ``fit(X).transform(X)``.
        """
        X = read_stream(X)
        return self.fit(X, y, graph=graph).transform(X)

    # What a fit is made of ------------------------------------------------------------

    # Neighbours of a row may lie in any process: the first brings all rows together.
    _can_be_shared = False

    def _make_table(self, X: Any, y: Any, reset: bool) -> NeighborTable:
        rows = self._validate_rows(X, reset)
        rows = rows[:] if isinstance(rows, Table) else rows
        return NeighborTable(rows, rows.shape[1], self._kinds, graph=y)

    def _find_graph(self, X: np.ndarray, graph: Any) -> csr_matrix:
        if self.metric == "precomputed":
            if graph is None:
                raise ValueError(
                    'metric="precomputed" takes the neighbours from fit(X, '
                    "graph=...): give it a sparse matrix, as "
                    "sklearn.neighbors.kneighbors_graph does, or name a metric."
                )
            return check_graph(graph, len(X))
        if graph is not None:
            raise ValueError(
                'graph= is for metric="precomputed"; with '
                f"metric={self.metric!r} the neighbours are found in fit."
            )
        n_others = len(X) - 1
        n_neighbors = min(self.n_neighbors, n_others)
        if n_neighbors == n_others > 0:
            how_many = "more than" if self.n_neighbors > n_others else "as many as"
            warn(
                f"n_neighbors={self.n_neighbors} is {how_many} the other rows of X: "
                f"all {n_others} of them are taken. Where all rows are neighbours, "
                "nothing tells them apart, and the map shrinks to a point: ask for "
                "fewer.",
                UserWarning,
            )
        if n_neighbors == 0:
            return csr_matrix((1, 1), dtype=np.float32)
        random_state = make_random_state(self.random_state)
        return as_graph(find_neighbors(X, n_neighbors, self.metric, random_state))

    def _make_design(self, table: FitTable, columns: Columns | None) -> Design:
        assert isinstance(table, NeighborTable)
        assert isinstance(table.X, np.ndarray)
        columns = self._columns(table)
        X = comparable(table.X, columns)
        graph = self._find_graph(X, table.graph)
        is_refined = self._is_refined(len(table.X))
        spec = NetworkSpec.of(self.get_params(deep=False))
        if isinstance(spec.hidden_layer_sizes, str) and spec.image_shape is None:
            sizes = ROUGH_SIZES if is_refined else SIZES
            spec = replace(spec, hidden_layer_sizes=sizes)
        shape = spec.images_of(table.n_own)
        architecture = Architecture(
            spec,
            n_inputs=table.n_own,
            n_outputs=table.n_own,
            image_shape=shape,
            target_shape=shape,
            keeps_order=True,
        )
        return Design(
            columns=columns,
            architecture=architecture,
            loss=LOSSES[self.loss](),
            start=(
                UnitPCAStart(self.n_components) if spec.starts_linear else RandomStart()
            ),
            make_module=partial(_make_module, self.corruption_level),
            recipe=self._recipe(
                *(architecture, LEARNING_RATE),
                kind=MapRecipe,
                n_columns=0,
                least_alpha=0.0,
                is_rough=is_refined,
            ),
            objective=NeighborObjective(graph),
            inference=self._make_map_inference(X, graph, is_refined),
            finish=partial(self._learn_way_back, architecture),
        )

    def _describe(self, trained: Trained) -> dict[str, Any]:
        objective = cast(NeighborObjective, trained.design.objective)
        return {**super()._describe(trained), "graph_": objective.graph}

    def _is_refined(self, n_samples: int) -> bool:
        """Whether rows are placed between others, rather than by the encoder alone."""
        if self.metric == "precomputed" or self.max_iter == 0:
            return False
        is_quick = n_samples <= _MOST_COMPARED or (
            self.metric == "euclidean" and self.n_components <= MOST_GRIDDED
        )
        return self.inference == "refined" or (self.inference == "auto" and is_quick)

    def _make_map_inference(
        self, X: np.ndarray, graph: csr_matrix, is_refined: bool
    ) -> Inference:
        if not is_refined:
            return Encoded()
        seed = make_random_state(self.random_state).randint(SEED_LIMIT)
        index: NearestNeighbors | InvertedFile
        if len(X) > _MOST_COMPARED and self.metric == "euclidean":
            index = InvertedFile.of(X, _N_PLACED_BETWEEN_OF_MANY, seed)
        else:
            n_neighbors = min(_N_PLACED_BETWEEN, len(X))
            index = NearestNeighbors(n_neighbors=n_neighbors, metric=self.metric)
            index.fit(X)
        return Placed(index, graph, seed)

    def _learn_way_back(
        self,
        architecture: Architecture,
        module: Autoencoder,
        rows: DescribedRows,
        seed: int,
    ) -> DescribedRows:
        """Train the decoder, and it alone, where the places of the rows are known."""
        is_linear = architecture.spec.starts_linear
        has_features = is_linear and self.n_components <= MOST_GRIDDED
        features = FourierFeatures(self.n_components, seed) if has_features else None
        own, filled = copy.deepcopy(module.decoder), module.filling
        assert filled is not None

        def make_decoder(z: Tensor, x: Tensor) -> nn.Module:
            if not is_linear:
                return copy.deepcopy(own)
            generator = torch.Generator().manual_seed(seed)
            with as_global(generator):  # layers draw their weights from there
                (weight, bias), spread = regress(z, filled(x)), z.double().cpu()
                variances = spread.var(dim=0, correction=0)
                if features is not None:
                    weight = features.beside(weight)
                    variances = features.variances(variances)
                return architecture.anchored_decoder((weight, bias), variances)

        rate = recipe.learning_rate(is_linear, architecture.widest_layer)
        n_samples = len(rows.x)
        decoder = train_decoder(
            make_decoder,
            nn.Identity() if features is None else features,
            rows.z,
            rows.x,
            module,
            replace(
                self._recipe(architecture, rate, n_columns=0),
                n_iter_no_change="auto",
                tol=1e-4,
                callbacks=(),
            ),
            Plan() if self.max_iter == 0 else Plan.of(n_samples, 0.1, True),
            seed,
        )
        if features is not None:
            decoder = FourierDecoder(features.to(rows.x.device), decoder)
        module.decoder = decoder
        module.eval()
        return rows

    def _validate_params(self) -> None:
        super()._validate_params()
        if self.inference == "refined" and self.metric == "precomputed":
            raise ValueError(
                'inference="refined" needs a metric, to find the neighbours of new '
                'rows; metric="precomputed" knows those of the training rows only. '
                'Use inference="encoder".'
            )

    # Using a fitted estimator ---------------------------------------------------------

    def score_samples(self, X: Any) -> np.ndarray:
        """Say how well the map tells the nearest of some training rows for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows in the units of the training rows.

        Returns
        -------
        scores : ndarray of shape (n_samples,)
            The logarithm of the probability, in nats, that the map gives the nearest
            of up to 500 training rows as the neighbour of the row: higher is better.
        """
        X = self._validate_new_rows(X)
        if isinstance(self._inference, Placed):
            return self._infer("score_samples", X)
        return self._compute("score_samples", X)


def _make_module(
    corruption_level: float,
    encoder: nn.Module,
    decoder: nn.Module,
    loss: SquaredError,
    columns: Columns,
    paths: LinearPaths | None,
    x: Tensor,
) -> NeighborMap:
    return NeighborMap(
        encoder,
        decoder,
        loss,
        center=columns.center,
        scale=columns.scale,
        corruption=GaussianCorruption(corruption_level, x.std(dim=0, correction=0)),
        landmarks=some(x, _N_LANDMARKS),
    )
