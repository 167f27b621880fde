"""Where MLflow writes."""

from trm.config.base import Written


class Tracking(Written):
    """Where MLflow writes."""

    enabled: bool = True
    """False: no MLflow."""
    uri: str | None = None
    """Tracking store; null: MLFLOW_TRACKING_URI, else `<storage>/mlflow.db`."""
    experiment: str | None = None
    """Experiment's name; null: the search space's name, for a run of train.py that of its data set."""
    artifact_location: str | None = None
    """Where the experiment's artifacts go; null: beside the store."""
