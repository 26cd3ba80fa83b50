"""Fitted state as arrays and plain values, and back."""

import copy
import datetime as dt
import pickle

import joblib
import numpy as np
import pytest
import torch
from torch import nn

from sklearn_ae._inference.inference import Refined
from sklearn_ae._networks.images import SkipDecoder, SkipEncoder
from sklearn_ae._networks.modules import MLP
from sklearn_ae._tables.columns import Columns
from sklearn_ae._tables.given import GivenScores
from sklearn_ae._utils.packing import KIND, Packer, pack, unpack


class UsersNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.ReLU())
        self.power = 2

    def forward(self, x):
        return self.layers(x) ** self.power


def leaves(value):
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


MODULES = {
    "dense": lambda: MLP.of_sizes(3, (4,), 2, "leaky_relu"),
    "columns": lambda: Columns(torch.arange(3.0), torch.tensor(2.0), 2),
    "skips": lambda: SkipEncoder((4, 4, 1), (2, 3), 2, nn.SiLU),
    "torch's": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 3)),
        nn.Conv1d(1, 2, 2, bias=False),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.LayerNorm(4),
        nn.Linear(4, 2, dtype=torch.float64),
    ),
}


@pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)
class TestModule:
    def test_comes_back_as_it_was(self, make):
        module = make().eval()
        made = unpack(pack(module))
        assert repr(made) == repr(module)
        assert type(made) is type(module)
        assert not made.training
        state, wanted = made.state_dict(), module.state_dict()
        assert state.keys() == wanted.keys()
        assert all(torch.equal(state[name], wanted[name]) for name in wanted)
        assert all(state[name].dtype == wanted[name].dtype for name in wanted)

    def test_is_arrays_and_plain_values(self, make):
        plain = (np.ndarray, str, int, float, bool, type(None))
        assert all(isinstance(leaf, plain) for leaf in leaves(pack(make())))

    def test_draws_no_random_numbers(self, make):
        packed = pack(make())
        before = torch.get_rng_state()
        unpack(packed)
        assert torch.equal(torch.get_rng_state(), before)


def test_layout_in_memory_comes_back():
    decoder = SkipDecoder((4, 4, 1), (2, 3), 2, nn.SiLU)
    weights = [p for p in unpack(pack(decoder)).parameters() if p.ndim == 4]
    assert weights
    for weight, was in zip(
        weights, (p for p in decoder.parameters() if p.ndim == 4), strict=True
    ):
        assert weight.stride() == was.stride()


def test_users_module_comes_back():
    module = UsersNetwork().eval()
    made = unpack(pack(module))
    x = torch.randn(5, 3)
    assert type(made) is UsersNetwork
    assert torch.equal(made(x), module(x))


def test_users_module_packs_alike_twice():
    module = UsersNetwork()
    assert joblib.hash(pack(module)) == joblib.hash(pack(module))


def test_module_in_two_places_is_one():
    module = nn.Linear(2, 2)
    packed = pickle.loads(pickle.dumps(pack({"a": module, "b": [module]})))
    made = unpack(packed)
    assert made["a"] is made["b"][0]


def test_module_with_hooks_is_kept():
    module = UsersNetwork()
    module.register_forward_hook(print)
    assert pack(module) is module


def test_objects_come_back():
    inference = Refined(2, remembered=torch.eye(2))
    made = unpack(pack(inference))
    assert type(made) is Refined
    assert made.n_steps == inference.n_steps
    assert torch.equal(made.remembered, inference.remembered)


@pytest.mark.parametrize(
    "value",
    [
        None,
        (1, 2.5, "a", [True]),
        {"a": {1: np.float32(2)}},
        np.arange(6).reshape(2, 3)[:, ::2],
        np.array(["a", None], dtype=object),
    ],
)
def test_plain_values_stay(value):
    made = unpack(pack(value))
    assert type(made) is type(value)
    np.testing.assert_equal(made, value)


@pytest.mark.parametrize("library", ["polars", "pyarrow"])
def test_types_of_arrow_come_back(library):
    moment = dt.datetime(2020, 1, 1)
    cells = {"a": [1], "b": ["x"], "c": [moment], "d": [moment.date()], "e": [True]}
    if library == "polars":
        pl = pytest.importorskip("polars")
        enum = pl.Series("f", ["y"], dtype=pl.Enum(["y", "x"]))
        frame = pl.DataFrame(cells).with_columns(enum)[:0]
    else:
        pa = pytest.importorskip("pyarrow")
        levels = pa.array(["y"]).dictionary_encode()
        frame = pa.table({**cells, "f": levels}).schema.empty_table()
    packed = pack(frame)
    assert isinstance(packed, dict)
    assert unpack(packed).schema == frame.schema


def test_frames_without_rows_come_back():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {
            "a": pd.Series([], dtype="int32"),
            "b": pd.Categorical([], categories=["y", "x"], ordered=True),
            "c": pd.Series([], dtype="datetime64[ns, Europe/Paris]"),
            "d": pd.Series([], dtype=object),
        }
    )
    packed = pack(frame)
    assert isinstance(packed, dict)
    pd.testing.assert_frame_equal(unpack(packed), frame, check_index_type=False)


def test_slices_hash_as_their_copies_do():
    part = np.arange(6).reshape(2, 3)[:, ::2]
    assert joblib.hash(pack(part)) == joblib.hash(pack(part.copy()))


def test_bfloat16_comes_back():
    tensor = torch.randn(3).to(torch.bfloat16)
    assert torch.equal(unpack(pack(tensor)), tensor)


def test_large_tensors_that_lose_nothing_as_halves_are_packed_so():
    exact = torch.randn(300, 300).half().float()
    for tensor, dtype in ((exact, "float16"), (exact + 1e-5, "float32")):
        packed = pack(tensor)
        assert packed["array"].dtype == dtype
        back = unpack(packed)
        assert back.dtype == torch.float32
        assert torch.equal(back, tensor)


def test_what_cannot_be_packed_is_handed_on():
    assert Packer(lambda value: "left").pack([print, 1]) == ["left", 1]


@pytest.mark.parametrize(
    "packed",
    [
        {KIND: "object", "class": "os._Environ", "fields": {}},
        {KIND: "object", "class": "_utils.packing.importlib", "fields": {}},
        {KIND: "object", "class": "_utils.packing.np.ndarray", "fields": {}},
        {KIND: "object", "class": "_inference.inference.Tensor", "fields": {}},
        {KIND: "object", "class": "_inference.inference.Encoded", "fields": {"__a": 1}},
        {KIND: "nothing known"},
        {KIND: "dtype", "name": "torch.load"},
    ],
)
def test_other_classes_are_not_made(packed):
    with pytest.raises(ValueError, match=r"is no|no way"):
        unpack(packed)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("torch.nn.Transformer", {"num_encoder_layers": 10**9}),
        ("torch.nn.LSTM", {"num_layers": 10**9}),
        ("torch.nn.modules", {}),
        ("torch.nn.Linear", {"in_features": 1, "device": "cpu"}),
        ("_tables.columns.Columns", {"_parameters": {}}),
        ("_inference.inference.Encoded", {}),
    ],
)
def test_other_modules_are_not_made(name, fields):
    packed = copy.copy(pack(nn.Identity()))
    with pytest.raises(ValueError, match=r"is no|takes|attributes"):
        unpack({**packed, "class": name, "fields": fields})


def test_an_object_that_lacks_a_field_of_its_class_is_of_another_version():
    packed = pack(GivenScores(0, 1.0, 2.0))
    assert unpack(packed) == GivenScores(0, 1.0, 2.0)
    del packed["fields"]["upper"]
    with pytest.raises(ValueError, match="GivenScores has no upper: another version"):
        unpack(packed)
