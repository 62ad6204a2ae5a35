"""Losses on a device: each one of the table gives what it gives on the host, with its gradients."""

import pytest
import torch

import loss_rows
from test_losses import ROWS


@pytest.mark.parametrize("name", ROWS)
def test_a_loss_gives_what_the_host_gives(device, name):
    row = ROWS[name]

    def outcome():
        inputs = loss_rows.fresh(row, grad=True)
        value = row.call(*inputs, reduction="sum", **loss_rows.maskings(row, inputs)[-1])
        return [value.detach(), *loss_rows.gradients(row, inputs, value)]

    want = outcome()
    with device():
        found = outcome()
    for x, y in zip(found, want, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-9, atol=1e-10)
