"""Train an embedding network on a folder of pictures, and convert and measure it.

The command ``edge-train`` does the whole work; ``edge_train.losses`` and ``edge_train.backbones`` are usable alone in
Keras programs. The extra ``train`` installs what this package needs.
"""
