import json
from functools import partial

from benchmarks import latents
from sklearn_ae import AutoencoderTransformer


def test_every_part_is_measured(tmp_path, monkeypatch, capsys):
    quick = partial(AutoencoderTransformer, max_iter=1, hidden_layer_sizes=(4,))
    monkeypatch.setattr(latents, "AutoencoderTransformer", quick)
    monkeypatch.setattr(latents, "N_STABLE", 2)
    output = tmp_path / "latents.json"
    options = ["--sets", "iris", "--seeds", "1", "--max-rows", "60"]
    latents.main([*options, "--output", str(output)])
    rows = json.loads(output.read_text())["results"]
    kinds = {row["what"] for row in rows}
    assert kinds == {"cut", "full", "auto", "0.95", "seeds", "halves"}
    printed = capsys.readouterr().out
    assert "nested_over_separate" in printed
    assert "n_seeds_agree" in printed
