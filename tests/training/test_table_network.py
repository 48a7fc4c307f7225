import pytest
import torch

from factory.training.table_network import MemberLinear


@pytest.mark.parametrize("count", [3, 15, 16, 40])
def test_a_members_layer_computes_the_same_in_training_whatever_is_scaled(count):
    layer, hidden = MemberLinear(5, 16, 2), torch.randn(2, count, 5)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    gradients = []
    for mode in (True, False):
        layer.train(mode).zero_grad()
        answer = layer(hidden)
        answer.square().sum().backward()
        gradients.append([answer.detach(), *(parameter.grad.clone() for parameter in layer.parameters())])
    for trained, answered in zip(*gradients, strict=True):
        torch.testing.assert_close(trained, answered, rtol=1e-4, atol=1e-4)
