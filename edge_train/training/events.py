"""TensorBoard event files, written by TensorFlow without the package tensorboard."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from edge_train.training.history import HistoryRow

# tensorboard's DataClass.DATA_CLASS_SCALAR
_SCALAR = 1


class EventLog:
    """Event files with the scalars loss, learning_rate, gradient, the mean cosines, and the values of the curve.

    Args:
        folder: Folder of the files; earlier files are removed.
        rows: Rows of the history so far; they are written again, because a killed run has written rows beyond its checkpoint.
    """

    def __init__(self, folder: Path, rows: Sequence[HistoryRow]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._writer = tf.summary.create_file_writer(str(folder))
        # TensorBoard shows a tensor as a scalar only with this metadata.
        self._metadata = tf.compat.v1.SummaryMetadata(
            plugin_data={"plugin_name": "scalars"}, data_class=_SCALAR
        )
        for row in rows:
            self.add(row)

    def add(self, row: HistoryRow) -> None:
        """Write the scalars of a step."""
        scalars = {
            "loss": row.loss,
            "learning_rate": row.learning_rate,
            "cosine/mated": row.mated,
            "cosine/non-mated": row.alike,
            "gradient": row.gradient,
            **{f"curve/{name}": value for name, value in row.curve.items()},
        }
        with self._writer.as_default(step=row.step):
            for name, value in scalars.items():
                tf.summary.write(name, tf.constant(value, tf.float32), metadata=self._metadata)

    def flush(self) -> None:
        """Write buffered events to the files."""
        self._writer.flush()

    def close(self) -> None:
        """Write buffered events and close the file."""
        self._writer.close()
