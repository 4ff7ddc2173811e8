"""GradCache gives the gradient of the whole batch, dropout included."""

import torch
from torch import nn

from engine.grad_cache import cached_backward


def gradients(micro_batches, dropout, **options):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, 4))
    torch.manual_seed(1)
    loss = cached_backward(
        lambda x: nn.functional.normalize(model(x), dim=-1),
        micro_batches,
        lambda f: (f @ f.T).logsumexp(1).mean(),
        **options,
    )
    return loss, [parameter.grad for parameter in model.parameters()], torch.rand(1)


def test_micro_batches_and_one_batch_have_the_same_gradient():
    x = torch.randn(12, 6, generator=torch.Generator().manual_seed(2))
    whole_loss, whole, _ = gradients([x], 0.0)
    cached_loss, cached, _ = gradients(list(x.split(5)), 0.0)
    kept_loss, kept, _ = gradients(list(x.split(5)), 0.0, keep_graphs=True)
    assert abs(whole_loss - cached_loss) < 1e-6 and abs(whole_loss - kept_loss) < 1e-6
    for a, b, c in zip(whole, cached, kept, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(a, c, atol=1e-6, rtol=1e-5)


def test_the_second_pass_repeats_the_dropout_of_the_first():
    # With a loss that is linear in the features the exact gradient needs no second look at the other micro-batches:
    # it is the sum of the gradients of the micro-batches under the very masks of the first pass.
    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(3))
    torch.manual_seed(0)
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3, bias=False))
    torch.manual_seed(4)
    seen = []

    def encode(part):
        features = model(part)
        if features.requires_grad:
            seen.append(features.detach().clone())
        return features

    kept = []
    cached_backward(encode, list(x.split(4)), lambda f: kept.append(f.detach().clone()) or f.sum())
    torch.testing.assert_close(torch.cat(seen), kept[0])


def test_the_random_state_goes_on_as_if_nothing_was_repeated():
    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(3))
    assert gradients(list(x.split(4)), 0.5)[2] == gradients(list(x.split(4)), 0.5)[2]


def test_two_towers_are_cached_together_and_gradients_travel_with_the_last_micro_batch():
    x = torch.randn(9, 6, generator=torch.Generator().manual_seed(5))
    results = []
    for sizes in (9, 4):
        torch.manual_seed(0)
        image, text, frozen = nn.Linear(6, 3), nn.Linear(6, 3), torch.randn(6, 3)
        told = []
        loss = cached_backward(
            lambda part, image=image, text=text, frozen=frozen: (image(part), text(part), part @ frozen),
            x.split(sizes),
            lambda a, b, c: ((a + c) @ b.T).logsumexp(1).mean(),
            synchronise=told.append,
        )
        assert told == [False] * (len(x.split(sizes)) - 1) + [True]
        results.append((loss, [parameter.grad for tower in (image, text) for parameter in tower.parameters()]))
    torch.testing.assert_close(results[1], results[0], atol=1e-6, rtol=1e-5)
