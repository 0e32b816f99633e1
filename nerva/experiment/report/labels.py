"""Labels that tell the configurations of a sweep apart, as short as possible."""

import re
from collections.abc import Sequence
from itertools import groupby

from nerva.experiment.identity.canonical import NUMPY, Canonical
from nerva.experiment.records.provenance import Provenance
from nerva.experiment.report.text import cut

_LONGEST = 2000  # characters


def configuration_labels(provenances: Sequence[Provenance]) -> list[str]:
    """A label for each run: the parts in which configurations differ. Runs of one configuration have the same label."""
    described = [_parts(provenance.determined_by) for provenance in provenances]
    networks = [provenance.determined_by["layers"] for provenance in provenances]
    for parts, layers in zip(described, short_layers(networks), strict=True):
        parts["layers"] = f"layers {layers}"
    names = dict.fromkeys(name for parts in described for name in parts)
    differing = [name for name in names if len({parts.get(name) for parts in described}) > 1]
    # The runs of a sweep over seeds have one configuration. Its network describes it.
    shown = differing or ["sizes", "optimizer", "learning_rate"]
    labels = [cut(", ".join(parts[name] for name in shown if name in parts), _LONGEST) for parts in described]
    # Configurations may also differ in what no part shows, such as a user-defined module.
    configurations: dict[str, set[str]] = {}
    for label, provenance in zip(labels, provenances, strict=True):
        configurations.setdefault(label, set()).add(provenance.configuration_id)
    return [
        label if len(configurations[label]) == 1 else f"{label} ({cut(provenance.configuration_id, 20)})"
        for label, provenance in zip(labels, provenances, strict=True)
    ]


def short_layers(networks: Sequence[Sequence[str]]) -> list[str]:
    """The layers of each network, such as `3×ReLU-Linear`. Arguments are left out if networks differ without them."""
    texts = [
        "-".join(f"{n}×{layer}" if n > 1 else layer for layer, same in groupby(layers) for n in [len(list(same))])
        for layers in networks
    ]
    names = [re.sub(r"\([^()]*\)", "", text) for text in texts]
    return names if len(set(names)) == len(set(texts)) else texts


def _parts(canonical: Canonical) -> dict[str, str]:
    backend = canonical.get("backend", NUMPY)
    return {
        "optimizer": canonical["optimizer"],
        "learning_rate": canonical["learning_rate"],
        "loss": canonical["loss"],
        "sizes": f"sizes {'-'.join(map(str, canonical['sizes']))}",
        "weights": f"weights {canonical['weights']}",
        **{key: f"{key} {value}" for key, value in canonical["train"].items()},
        "validation": f"validation {canonical['data']['validation']}",
        "backend": backend["name"] + (" on the GPU" if backend["device"] == "gpu" else ""),
        "numerics": f"{canonical['numerics']} numerics",
    }
