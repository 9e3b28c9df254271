"""Handwritten digits: how well a classifier chosen by the group `model` reads images it has not seen.

The data are the 1797 images of 8 by 8 pixels that come with scikit-learn: nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

MODELS: dict[str, Callable[..., Any]] = {
    "svm": SVC,
    "forest": RandomForestClassifier,
    "logistic": LogisticRegression,
}


def run(seed: int, *, model: Mapping[str, Any], test_size: float) -> dict[str, float]:
    """Split the images, train the model on one part and count how many of the other it reads rightly.

    `model` holds the `name` of the classifier (svm, forest or logistic) and whatever else its
    scikit-learn class takes; `test_size` is the fraction of the images that is held out. The split
    and the model draw from `seed`.

    Returns `main`, the accuracy on the held-out images, with `train_accuracy`, `train_images`,
    `test_images` and a number that says how complex the fit became: `support_vectors`,
    `mean_leaves` or `iterations`. Raises ValueError for a model without a known name.
    """
    # Two independent streams, so that the model's draws do not depend on those of the split.
    split_seed, model_seed = (int(word) for word in np.random.SeedSequence(seed).generate_state(2))
    classifier = build(model, model_seed)
    digits = load_digits()
    images = digits.data / 16  # pixels from 0 to 1
    train, test, train_labels, test_labels = train_test_split(
        images, digits.target, test_size=test_size, random_state=split_seed, stratify=digits.target
    )
    print(f"{model['name']}: training on {len(train)} images, testing on {len(test)}")
    classifier.fit(train, train_labels)
    train_accuracy = float(classifier.score(train, train_labels))
    answers = classifier.predict(test)
    accuracy = float(np.mean(answers == test_labels))
    print(f"accuracy {accuracy:.4f} held out, {train_accuracy:.4f} in training")
    show_confusion(test_labels, answers, f"Confusion matrix of {model['name']}")
    return {
        "main": accuracy,
        "train_accuracy": train_accuracy,
        "train_images": len(train),
        "test_images": len(test),
        **complexity(classifier),
    }


def build(model: Mapping[str, Any], seed: int) -> Any:
    """The untrained classifier that `model` describes; ValueError where its name is missing or unknown."""
    known = ", ".join(sorted(MODELS))
    if "name" not in model:
        raise ValueError(f"model has no name: give it one of {known}")
    if model["name"] not in MODELS:
        raise ValueError(f"unknown model {model['name']!r}: choose one of {known}")
    settings = {key: value for key, value in model.items() if key != "name"}
    return MODELS[model["name"]](random_state=seed, **settings)


def complexity(classifier: Any) -> dict[str, float]:
    """What a trained classifier says of its own size, as one named number."""
    if isinstance(classifier, SVC):
        return {"support_vectors": float(classifier.n_support_.sum())}
    if isinstance(classifier, RandomForestClassifier):
        return {"mean_leaves": float(np.mean([tree.get_n_leaves() for tree in classifier.estimators_]))}
    return {"iterations": float(classifier.n_iter_.max())}


def show_confusion(labels: Any, answers: Any, title: str) -> None:
    """Show which digits were taken for which others."""
    _, axes = plt.subplots(figsize=(5.6, 5.2))
    ConfusionMatrixDisplay.from_predictions(labels, answers, ax=axes, colorbar=False, cmap="Blues")
    axes.set_title(title)
    plt.show()
