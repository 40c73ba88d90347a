import numpy as np
from judged import hits
from material import material
from test_impostor import K, scene

from auditor.detectors.victim_impostor import measure
from auditor.interfaces import Material
from auditor.tables import check_evidence


def as_victim(data: Material, labels: np.ndarray | None = None) -> Material:
    views = {
        "pixels": data.views["pixels"],
        "victim_penultimate": data.views["penultimate"],
        "victim_logits": np.log(data.views["probabilities"]),
    }
    return material(data.labels if labels is None else labels, K, **views)


def flagged_classes(data: Material) -> list[int | None]:
    evidence = measure(data)
    check_evidence("victim_impostor", evidence)
    return hits(evidence, "BKD008")


def test_impostors_raise_the_rule_and_natural_groups_do_not():
    data, apart = scene(0, 80, foreign=True)
    assert flagged_classes(as_victim(data)) == [0]
    member = measure(as_victim(data))["sample"]["victim_impostor_member"].to_numpy()
    assert (member & (data.labels == 0))[apart].mean() > 0.9
    assert flagged_classes(as_victim(scene(1, 80, foreign=False)[0])) == []


def test_what_the_victim_disputes_is_scored_but_not_fitted():
    data, _ = scene(0, 80, foreign=True)
    labels = data.labels.copy()
    labels[100:160] = (labels[100:160] + 2) % K
    labels[:3] = -1
    score = measure(as_victim(data, labels))["sample"]["victim_impostor_score"]
    assert score.is_null().to_numpy()[:4].tolist() == [True, True, True, False]
    assert not score[3:].is_null().any()
