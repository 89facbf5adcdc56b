"""Write small exported PyTorch programs into a folder; the functions here also serve as FILE.py:FUNCTION sources."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

SIDE = 32


def _block(inside: int, outside: int, stride: int, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inside, outside, 3, stride, 1, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outside), nn.PReLU(outside))


class Net(nn.Module):
    """A small MobileFaceNet: PReLU, global depthwise convolution, batch norm at the end, L2 norm on request."""

    def __init__(self, *, norm: bool = False, outputs: int = 1, dropout: bool = False) -> None:
        super().__init__()
        self.features = nn.Sequential(_block(3, 16, 2), _block(16, 16, 1, 16), _block(16, 32, 2))
        self.pool = nn.Conv2d(32, 32, SIDE // 4, groups=32)
        self.embed = nn.Sequential(nn.Flatten(), nn.Linear(32, 24), nn.BatchNorm1d(24))
        self.dropout = nn.Dropout(0.5 if dropout else 0.0)
        self.norm, self.outputs = norm, outputs
        for part in self.modules():
            if isinstance(part, nn.PReLU):
                nn.init.uniform_(part.weight, 0.05, 0.4)
            if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
                nn.init.uniform_(part.running_mean, -0.3, 0.3)
                nn.init.uniform_(part.running_var, 0.5, 2.0)

    def forward(self, image: torch.Tensor) -> Any:
        embedding = self.embed(self.pool(self.dropout(self.features(image))))
        if self.norm:
            embedding = nn.functional.normalize(embedding)
        return embedding if self.outputs == 1 else (embedding,) * self.outputs


def make(**options: Any) -> Net:
    """Build a network in training mode, the mode of every new module."""
    torch.manual_seed(0)
    return Net(**options)


def make_half() -> nn.Module:
    return make().half()


def make_failing() -> nn.Module:
    raise ValueError("the weights are elsewhere")


def make_nothing() -> dict[str, torch.Tensor]:
    return dict(make().state_dict())


def make_two() -> nn.Module:
    return make(outputs=2)


def make_beside() -> nn.Module:
    """Load weights from the folder of this file by a relative path."""
    network = make()
    network.load_state_dict(torch.load("weights.pt", weights_only=True))
    return network


def main(folder: Path) -> None:
    single, eight = torch.zeros(1, 3, SIDE, SIDE), torch.zeros(8, 3, SIDE, SIDE)
    export, save = torch.export.export, torch.export.save
    save(export(make(norm=True).eval(), (single,)), folder / "normed.pt2")
    batch = torch.export.Dim("batch")
    save(export(make().eval(), (eight,), dynamic_shapes=({0: batch},)), folder / "open.pt2")
    save(export(make().eval(), (eight,)), folder / "eight.pt2")
    save(export(make().train(), (eight,), dynamic_shapes=({0: batch},)), folder / "training.pt2")
    half = make(dropout=True).eval()
    half.dropout.train()
    save(export(half, (single,)), folder / "dropout.pt2")
    save(export(make(outputs=2).eval(), (single,)), folder / "two.pt2")
    save(export(make().eval().half(), (single.half(),)), folder / "half.pt2")
    torch.save(make().state_dict(), folder / "weights.pt")
    (folder / "net.py").write_text(Path(__file__).read_text())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
