"""Comparison of every loss of ``edge_train`` on Omniglot and on drawn products: two budgets, three seeds, and int8.

``python -m tools.compare_losses --output work/losses --omniglot ../shared/omniglot`` makes the tables and the picture of
``docs/measurements/losses.md``. Each result is stored, so that the command continues after an interruption.
"""
