"""The released network as MLflow's python function: this file itself is what the registry keeps, so nothing is pickled.

MLflow runs it where a model is loaded, beside a copy of the release's folder; all else comes from the installed wheel.
"""

from typing import Any

import mlflow.pyfunc
import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import set_model


class ReleasedModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # MLflow has no types
    """Answers rows of tokens."""

    def load_context(self, context: Any) -> None:
        """Opens the weights."""
        from trm.release.answering import Answering

        self._answering = Answering(context.artifacts["release"])

    # an array is the one hint of what is given of which MLflow makes no schema and no warning; it may be a table too
    def predict(self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None) -> Any:
        """A row a puzzle: `answer`, `valid`, `reason`, `steps`, `halt_probability`; MlflowException for what breaks a rule."""
        from trm.errors import QuestionError

        try:
            return self._answering.frame(model_input, params or {})
        except QuestionError as error:  # of another kind MLflow's server shows a stack of calls, and calls it unexpected
            raise MlflowException.invalid_parameter_value(str(error)) from error


set_model(ReleasedModel())
