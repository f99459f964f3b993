"""HSNet's training at tiny size: what it lowers, what it leaves alone, what it makes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from models.catalog import load_model
from models.errors import ModelError
from models.methods.hsnet.network import HSNetwork
from models.methods.hsnet.train import LEARNING_RATE, Episodes, HSNetLoss, untrained


def some_episodes(seed: int, count: int = 2) -> Episodes:
    """Bright boxes on noise, at another place in query and support."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand((2 * count, 3, 64, 64), generator=generator) / 2
    masks = torch.zeros(2 * count, 64, 64)
    corners = torch.randint(4, 28, (2 * count, 2), generator=generator).tolist()
    for image, mask, (top, left) in zip(images, masks, corners, strict=True):
        mask[top : top + 28, left : left + 28] = 1
        image[0] += mask / 2
    return Episodes(images[:count], masks[:count], images[count:], masks[count:])


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def loss_of(network: HSNetwork, batch: Episodes) -> float:
    with torch.no_grad():
        return float(HSNetLoss(network).eval()(vars(batch)))


def test_the_loss_falls_and_the_backbone_stays() -> None:
    network = untrained("tiny")
    before = {name: t.clone() for name, t in network.backbone.state_dict().items()}
    held_out = some_episodes(99)
    at_first = loss_of(network, held_out)
    objective = HSNetLoss(network).train()
    learned = [weight for weight in objective.parameters() if weight.requires_grad]
    assert len(learned) == len(list(network.hpn_learner.parameters()))
    optimizer = torch.optim.AdamW(learned, lr=LEARNING_RATE, weight_decay=0)
    losses = []
    for step in range(12):
        loss = objective(vars(some_episodes(step)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-4:]) < 0.85 * sum(losses[:4])
    assert loss_of(network, held_out) < 0.8 * at_first
    after = network.backbone.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_training_and_inference_agree_and_the_state_is_a_checkpoint(tmp_path: Path) -> None:
    network = untrained("tiny")
    batch = some_episodes(1)
    path = tmp_path / "best_model.pt"
    torch.save(network.state_dict(), path)
    model = load_model("hsnet", {"weights": str(path), "size": 64})
    queries, features = model.encode_image(batch.queries), model.encode_image(batch.supports)
    supports = model.encode_support(batch.supports, batch.support_masks, features)
    margins = model.segment(queries, [[support] for support in supports])
    wanted = loss_of(network, batch)
    # Of two classes, the cross-entropy is that of the margin's sigmoid.
    found = F.binary_cross_entropy_with_logits(margins, batch.query_masks)
    assert float(found) == pytest.approx(wanted, rel=1e-4)


def test_another_backbone_is_refused() -> None:
    with pytest.raises(ModelError, match="hsnet has no backbone efficientnet-lite0; use resnet50"):
        untrained("efficientnet-lite0", "random")
