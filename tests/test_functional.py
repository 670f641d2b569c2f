"""Returns, advantages, targets and losses against hand-computed numbers, closed forms and loops."""

import math

import pytest
import torch
from torch import nn, tensor

from rlx import functional as F

DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
KINDS = ("terminated", "truncated")

# Two episodes. The first has three steps and terminates, so its 9 must never be seen; the second
# has one step and is cut off, so its 4 must be. All numbers below are for gamma = 0.5.
REWARDS = tensor([1.0, 2.0, 4.0, 0.0, 3.0, 0.0])
VALUES = tensor([0.5, 1.0, 2.0, 9.0, 2.0, 4.0])
RATIOS = tensor([2.0, 0.5, 1.0, 1.0, 4.0, 1.0])
END = tensor([False, False, False, True, False, True])
TERMINATED = tensor([False, False, False, True, False, False])
TABLE = {"rewards": REWARDS, "values": VALUES, "end": END, "terminated": TERMINATED}


def ragged(seed, n_episodes=40, dtype=torch.float64, device="cpu"):
    """A random table: episodes of 1 (an end state only) to 12 rows, terminated or cut off."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 13, (n_episodes,), generator=generator)
    lengths[:2] = 1
    size = int(lengths.sum())
    end = torch.zeros(size, dtype=torch.bool)
    end[lengths.cumsum(0) - 1] = True
    terminated = end & (torch.rand(size, generator=generator) < 0.5)
    rewards, values, log_ratios = torch.randn(3, size, generator=generator, dtype=dtype)
    table = {
        "rewards": rewards.masked_fill(end, 0),
        "values": values,
        "log_ratios": log_ratios,
        "end": end,
        "terminated": terminated,
    }
    return {name: column.to(device) for name, column in table.items()}


def without(table, *names):
    return {name: column for name, column in table.items() if name not in names}


def close(actual, expected, tolerance=1e-6):
    torch.testing.assert_close(
        actual, torch.as_tensor(expected, dtype=actual.dtype), rtol=tolerance, atol=tolerance
    )


# The targets, as functions of a table and nothing else.
TARGETS = {
    "discounted_returns": lambda t: F.discounted_returns(t["rewards"], t["end"], 0.9),
    "n_step_returns, n=1": lambda t: F.n_step_returns(**without(t, "log_ratios"), gamma=0.9, n=1),
    "n_step_returns, n=3": lambda t: F.n_step_returns(**without(t, "log_ratios"), gamma=0.9, n=3),
    "n_step_returns": lambda t: F.n_step_returns(**without(t, "log_ratios"), gamma=0.9),
    "lambda_returns": lambda t: F.lambda_returns(
        **without(t, "log_ratios"), gamma=0.9, lambda_=0.8
    ),
    "gae": lambda t: F.gae(**without(t, "log_ratios"), gamma=0.9, gae_lambda=0.8),
    "vtrace targets": lambda t: F.vtrace(**t, gamma=0.9, gae_lambda=0.8)[0],
    "vtrace advantages": lambda t: F.vtrace(**t, gamma=0.9, gae_lambda=0.8)[1],
}
DIFFERENTIABLE = [name for name in TARGETS if not name.startswith("vtrace")]
BOOTSTRAPPING = [name for name in TARGETS if name != "discounted_returns"]


# ---------------------------------------------------------------------------- by hand


def test_discounted_returns_by_hand():
    # 4; 2 + .5*4 = 4; 1 + .5*4 = 3. And 3 alone: never bootstrapped.
    close(F.discounted_returns(REWARDS, END, 0.5), [3, 4, 4, 0, 3, 0])


def test_discounted_returns_counts_the_last_reward_of_tables_without_end_states():
    rewards = tensor([1.0, 2.0, 4.0, 3.0, 5.0])
    last = tensor([False, False, True, True, True])
    close(F.discounted_returns(rewards, last, 0.5), [3, 4, 4, 3, 5])


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        # 1 + .5*1; 2 + .5*2; 4 + .5*0 (terminated); 3 + .5*4 (cut off). End rows: 0 and V.
        (1, [1.5, 3, 4, 0, 5, 4]),
        # 1 + .5*2 + .25*2; 2 + .5*4 + .25*0; the rest meets its end state first.
        (2, [2.5, 4, 4, 0, 5, 4]),
        # 1 + .5*2 + .25*4 + .125*0
        (3, [3, 4, 4, 0, 5, 4]),
        (4, [3, 4, 4, 0, 5, 4]),
        (10**9, [3, 4, 4, 0, 5, 4]),
        (None, [3, 4, 4, 0, 5, 4]),
    ],
)
def test_n_step_returns_by_hand(n, expected):
    close(F.n_step_returns(**TABLE, gamma=0.5, n=n), expected)


def test_lambda_returns_by_hand():
    # 4; 2 + .5*(.5*2 + .5*4) = 3.5; 1 + .5*(.5*1 + .5*3.5) = 2.125. And 3 + .5*4 = 5.
    close(F.lambda_returns(**TABLE, gamma=0.5, lambda_=0.5), [2.125, 3.5, 4, 0, 5, 4])


def test_gae_by_hand():
    # delta: 1 + .5*1 - .5 = 1; 2 + .5*2 - 1 = 2; 4 + .5*0 - 2 = 2. And 3 + .5*4 - 2 = 3.
    # A: 2; 2 + .25*2 = 2.5; 1 + .25*2.5 = 1.625. And 3.
    close(F.gae(**TABLE, gamma=0.5, gae_lambda=0.5), [1.625, 2.5, 2, 0, 3, 0])


@pytest.mark.parametrize(
    ("options", "targets", "advantages"),
    [
        # With delta as in gae. rho and c are 1, .5, 1; and 1.
        # v - V: 1*2 = 2; .5*2 + .5*.5*2 = 1.5; 1*1 + .5*1*1.5 = 1.75. And 1*3.
        # A: 4 + 0 - 2 = 2; .5*(2 + .5*4 - 1) = 1.5; 1 + .5*2.5 - .5 = 1.75. And 3 + .5*4 - 2.
        ({}, [2.25, 2.5, 4, 0, 5, 4], [1.75, 1.5, 2, 0, 3, 0]),
        # c is halved. v - V: 2; .5*2 + .5*.25*2 = 1.25; 1 + .5*.5*1.25 = 1.3125. And 3.
        # A: 2; .5*(2 + .5*(.5*4 + .5*2) - 1) = 1.25; 1 + .5*(.5*2.25 + .5*1) - .5 = 1.3125.
        ({"gae_lambda": 0.5}, [1.8125, 2.25, 4, 0, 5, 4], [1.3125, 1.25, 2, 0, 3, 0]),
        # Three clips that cannot be confused: rho is 2, .5, 1; 2. c is .5. pg_rho 1.5, .5, 1; 1.5.
        # v - V: 1*2 = 2; .5*2 + .5*.5*2 = 1.5; 2*1 + .5*.5*1.5 = 2.375. And 2*3 = 6.
        # A: 2; .5*(2 + .5*4 - 1) = 1.5; 1.5*(1 + .5*2.5 - .5) = 2.625. And 1.5*3 = 4.5.
        (
            {"clip_rho": 2.0, "clip_c": 0.5, "clip_pg_rho": 1.5},
            [2.875, 2.5, 4, 0, 8, 4],
            [2.625, 1.5, 2, 0, 4.5, 0],
        ),
        # The same without a weight in front of A: 1 + .5*2.5 - .5, 2 + .5*4 - 1, 2. And 3.
        ({"clip_pg_rho": None}, [2.25, 2.5, 4, 0, 5, 4], [1.75, 3, 2, 0, 3, 0]),
    ],
)
def test_vtrace_by_hand(options, targets, advantages):
    v, a = F.vtrace(**TABLE, log_ratios=RATIOS.log(), gamma=0.5, **options)
    close(v, targets)
    close(a, advantages)


# ---------------------------------------------------------------------------- closed forms


@pytest.mark.parametrize("gae_lambda", [0.0, 0.7, 1.0])
def test_gae_of_a_perfect_critic_is_zero(gae_lambda):
    # Reward 1 for ever is worth 1 / (1 - gamma), and a cut episode goes on for ever.
    gamma, rows = 0.9, 50
    end = torch.arange(rows) == rows - 1
    rewards, values = (~end).double(), torch.full((rows,), 1 / (1 - gamma)).double()
    cut = F.gae(rewards, values, end, torch.zeros_like(end), gamma, gae_lambda)
    close(cut, torch.zeros(rows))
    # Where it terminates instead, the last step comes as a surprise of -gamma V, which earlier
    # steps see discounted by gamma lambda a step.
    surprise = -gamma * values[0] * (gamma * gae_lambda) ** torch.arange(rows - 2, -1, -1)
    close(F.gae(rewards, values, end, end, gamma, gae_lambda)[:-1], surprise)


def test_discounted_returns_of_a_long_episode_are_exact():
    rows = 32_768
    end = torch.arange(rows) == rows - 1
    close(F.discounted_returns(torch.ones(rows), end, 1.0), torch.arange(rows, 0, -1), 0)


def test_the_special_cases_agree():
    t = ragged(1)
    table = without(t, "log_ratios")
    v = t["values"].masked_fill(t["terminated"], 0)
    one_step = torch.where(t["end"], v, t["rewards"] + 0.9 * v.roll(-1))
    to_the_end = F.n_step_returns(**table, gamma=0.9)
    close(F.gae(**table, gamma=0.9, gae_lambda=0.0) + v, one_step, 1e-12)
    close(F.gae(**table, gamma=0.9, gae_lambda=1.0) + v, to_the_end, 1e-12)
    close(F.n_step_returns(**table, gamma=0.9, n=1), one_step, 1e-12)
    close(F.lambda_returns(**table, gamma=0.9, lambda_=0.0), one_step, 1e-12)
    close(F.lambda_returns(**table, gamma=0.9, lambda_=1.0), to_the_end, 1e-12)
    mixture = F.lambda_returns(**table, gamma=0.9, lambda_=0.8)
    close(F.gae(**table, gamma=0.9, gae_lambda=0.8) + v, mixture, 1e-12)
    # On-policy, V-trace is the λ-return: nothing to correct.
    t["log_ratios"] = torch.zeros_like(v)
    close(F.vtrace(**t, gamma=0.9)[0], to_the_end, 1e-12)
    close(F.vtrace(**t, gamma=0.9, gae_lambda=0.8)[0], mixture, 1e-12)
    # Where every episode terminates, the values of end states are never seen.
    table["terminated"] = t["end"]
    close(
        F.n_step_returns(**table, gamma=0.9),
        F.discounted_returns(t["rewards"], t["end"], 0.9),
        1e-12,
    )


# ---------------------------------------------------------------------------- slow and plain


def loop(table, target, gamma=0.9, lambda_=0.8):
    """Every target once more, an episode and a row at a time, from its definition."""
    result, first = [], 0
    for last in table["end"].nonzero().flatten().tolist():
        r, v, log_rho = (
            table[name][first : last + 1].tolist() for name in ("rewards", "values", "log_ratios")
        )
        rho = [math.exp(x) for x in log_rho]
        steps = last - first
        if table["terminated"][last]:
            v[-1] = 0.0
        column = [r[-1] if target == "discounted_returns" else v[-1]]
        if "advantages" in target or target == "gae":
            column = [0.0]
        trace = v[-1]
        for t in reversed(range(steps)):
            delta = r[t] + gamma * v[t + 1] - v[t]
            if target == "discounted_returns":
                y = r[t] + gamma * column[0]
            elif target.startswith("n_step_returns"):
                n = int(target[-1]) if target[-1].isdigit() else steps
                k = min(n, steps - t)
                y = sum(gamma**i * r[t + i] for i in range(k)) + gamma**k * v[t + k]
            elif target == "lambda_returns":
                y = r[t] + gamma * ((1 - lambda_) * v[t + 1] + lambda_ * column[0])
            elif target == "gae":
                y = delta + gamma * lambda_ * column[0]
            else:
                ahead = lambda_ * trace + (1 - lambda_) * v[t + 1]
                advantage = min(1.0, rho[t]) * (r[t] + gamma * ahead - v[t])
                c = lambda_ * min(1.0, rho[t])
                trace = v[t] + min(1.0, rho[t]) * delta + gamma * c * (trace - v[t + 1])
                y = trace if target == "vtrace targets" else advantage
            column.insert(0, y)
        result += column
        first = last + 1
    return tensor(result, dtype=torch.float64)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_a_loop(target, device, seed):
    table = ragged(seed, device=device)
    close(TARGETS[target](table).cpu(), loop(ragged(seed), target), 1e-10)


@pytest.mark.parametrize("n", [2, 4, 5, 6, 7, 8, 9])
def test_n_step_returns_agree_with_a_loop(n):
    table = ragged(n)
    ours = F.n_step_returns(**without(table, "log_ratios"), gamma=0.9, n=n)
    close(ours, loop(table, f"n_step_returns, n={n}"), 1e-10)


@pytest.mark.parametrize("target", TARGETS)
def test_float32_stays_float32(target):
    table = ragged(0, dtype=torch.float32)
    assert TARGETS[target](table).dtype == torch.float32
    close(TARGETS[target](table).double(), loop(table, target), 1e-5)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_tiny_tables(target, rows):
    table = {name: column[:rows] for name, column in ragged(0).items()}  # nothing but end states
    expected = loop(table, target) if rows else torch.zeros(0)
    close(TARGETS[target](table), expected)


# ---------------------------------------------------------------------------- end states


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_leaks_across_episodes(target):
    table = ragged(2)
    before = TARGETS[target](table)
    ends = table["end"].nonzero().flatten().tolist()
    for episode in (2, len(ends) // 2, len(ends) - 1):
        inside = torch.zeros_like(table["end"])
        inside[ends[episode - 1] + 1 : ends[episode] + 1] = True
        other = dict(table)
        for name in ("rewards", "values", "log_ratios"):
            other[name] = torch.where(inside, table[name] + 7, table[name])
        other["terminated"] = torch.where(
            inside, table["end"] & ~table["terminated"], table["terminated"]
        )
        assert TARGETS[target](other)[~inside].equal(before[~inside])


@pytest.mark.parametrize("target", BOOTSTRAPPING)
@pytest.mark.parametrize("kind", KINDS)
def test_truncation_bootstraps_and_termination_does_not(target, kind):
    table = ragged(3)
    table["terminated"] = table["end"] if kind == "terminated" else torch.zeros_like(table["end"])
    before = TARGETS[target](table)
    table["values"] = torch.where(table["end"], table["values"] + 5, table["values"])
    last_steps = table["end"].roll(-1) & ~table["end"]
    changed = TARGETS[target](table)[last_steps] > before[last_steps]
    assert changed.any() == changed.all() == (kind == "truncated")


@pytest.mark.parametrize("target", BOOTSTRAPPING)
def test_what_stands_where_an_episode_terminated_does_not_matter(target):
    table = ragged(4)
    before = TARGETS[target](table)
    table["values"] = table["values"].masked_fill(table["terminated"], torch.nan)
    table["log_ratios"] = table["log_ratios"].masked_fill(table["end"], torch.nan)
    assert TARGETS[target](table).equal(before)


@pytest.mark.parametrize("target", BOOTSTRAPPING)
def test_flags_that_cannot_be_are_refused(target):
    table = {name: column[:-1] for name, column in ragged(5).items()}
    assert not table["end"][-1]
    with pytest.raises(ValueError, match=r"^end is False in the last row"):
        TARGETS[target](table)
    table = ragged(5)
    table["terminated"] = table["terminated"].roll(-1)  # on the last step, not on the end state
    with pytest.raises(ValueError, match=r"^terminated is True in a row where end is False"):
        TARGETS[target](table)
    table["terminated"] = table["end"].double()
    with pytest.raises(ValueError, match=r"^terminated has dtype torch.float64"):
        TARGETS[target](table)


# ---------------------------------------------------------------------------- pure, fast


@pytest.mark.parametrize("target", TARGETS)
def test_inputs_are_left_alone(target):
    table = ragged(6)
    TARGETS[target](table)
    assert all(column.equal(ragged(6)[name]) for name, column in table.items())


@pytest.mark.parametrize("target", DIFFERENTIABLE)
def test_returns_are_differentiable(target):
    table = ragged(7, n_episodes=6)

    def function(rewards, values):
        return TARGETS[target]({**table, "rewards": rewards, "values": values})

    inputs = [table[name].requires_grad_() for name in ("rewards", "values")]
    assert torch.autograd.gradcheck(function, inputs)


def test_vtrace_carries_no_gradient():
    table = ragged(8)
    for name in ("rewards", "values", "log_ratios"):
        table[name].requires_grad_()
    assert not any(column.requires_grad for column in F.vtrace(**table, gamma=0.9))


@pytest.mark.parametrize("target", TARGETS)
def test_no_loop_over_rows(target):
    class Count(torch.overrides.TorchFunctionMode):
        calls = 0

        def __torch_function__(self, function, types, args=(), kwargs=None):
            self.calls += 1
            return function(*args, **(kwargs or {}))

    rows = 4096
    end = torch.arange(rows) == rows - 1
    columns = dict.fromkeys(("rewards", "values", "log_ratios"), torch.zeros(rows))
    with Count() as count:
        TARGETS[target]({**columns, "end": end, "terminated": end})
    assert count.calls < rows / 8


# ---------------------------------------------------------------------------- shapes

FLAGS = {"end", "terminated", "mask"}
COLUMNS = {
    F.discounted_returns: ("rewards", "end"),
    F.n_step_returns: ("rewards", "values", "end", "terminated"),
    F.lambda_returns: ("rewards", "values", "end", "terminated"),
    F.gae: ("rewards", "values", "end", "terminated"),
    F.vtrace: ("rewards", "values", "log_ratios", "end", "terminated"),
    F.importance_weights: ("logprobs", "behaviour_logprobs"),
    F.weighted_loss: ("logprobs", "weights", "advantages"),
    F.policy_gradient_loss: ("logprobs", "advantages"),
    F.ppo_clip_loss: ("logprobs", "old_logprobs", "advantages"),
    F.td_target: ("rewards", "next_values", "terminated"),
    F.value_loss: ("values", "returns"),
    F.huber_loss: ("values", "returns"),
    F.explained_variance: ("values", "returns"),
    F.normalize: ("x", "mask"),
    F.approx_kl: ("logprobs", "old_logprobs"),
    F.clip_fraction: ("logprobs", "old_logprobs"),
}
OTHERS = {
    F.discounted_returns: {"gamma": 0.9},
    F.n_step_returns: {"gamma": 0.9},
    F.lambda_returns: {"gamma": 0.9, "lambda_": 0.9},
    F.gae: {"gamma": 0.9, "gae_lambda": 0.9},
    F.vtrace: {"gamma": 0.9},
    F.ppo_clip_loss: {"clip": 0.2},
    F.td_target: {"gamma": 0.9},
    F.clip_fraction: {"clip": 0.2},
}


@pytest.mark.parametrize(
    ("function", "name"),
    [pytest.param(f, n, id=f"{f.__name__}-{n}") for f, names in COLUMNS.items() for n in names],
)
def test_shapes_are_asserted(function, name):
    columns = {n: torch.arange(5) == 4 if n in FLAGS else torch.rand(5) for n in COLUMNS[function]}
    others = OTHERS.get(function, {})
    function(**columns, **others)
    with pytest.raises(ValueError, match=rf"^{name} has shape \(5, 1\), expected \(5,\)"):
        function(**{**columns, name: columns[name].unsqueeze(1)}, **others)
    with pytest.raises(ValueError, match=r"has shape \([45],\), expected \([45],\)"):
        function(**{**columns, name: columns[name][1:]}, **others)
    if name in FLAGS:
        with pytest.raises(ValueError, match=rf"^{name} has dtype torch.uint8"):
            function(**{**columns, name: columns[name].byte()}, **others)


@pytest.mark.parametrize("n", [0, -1])
def test_n_is_positive(n):
    with pytest.raises(ValueError, match=f"^n is {n}, expected at least 1"):
        F.n_step_returns(**TABLE, gamma=0.5, n=n)


# ---------------------------------------------------------------------------- losses


def test_importance_weights_by_hand():
    logprobs = tensor([0.5, 0.2, 0.9]).log().requires_grad_()
    behaviour = tensor([0.25, 0.4, 0.1]).log()
    close(F.importance_weights(logprobs, behaviour), [2.0, 0.5, 9.0])
    close(F.importance_weights(logprobs, behaviour, clip=1.5), [1.5, 0.5, 1.5])
    assert not F.importance_weights(logprobs, behaviour).requires_grad
    huge = F.importance_weights(tensor([500.0]), tensor([0.0]), clip=1.0)
    close(huge, [1.0])  # exp(500) is infinite in float32


def test_effective_sample_size_by_hand():
    weights = tensor([2.0, 1.0, 1.0], requires_grad=True)
    close(F.effective_sample_size(weights), 16 / 6)  # (2 + 1 + 1)² / (4 + 1 + 1)
    assert not F.effective_sample_size(weights).requires_grad
    close(F.effective_sample_size(torch.full((7,), 0.3)), 7.0)
    close(F.effective_sample_size(tensor([0.0, 5.0, 0.0])), 1.0)
    close(F.effective_sample_size(torch.zeros(3)), 0.0)
    close(F.effective_sample_size(tensor([1e30, 1e30])), 2.0)  # whose squares are infinite
    close(F.effective_sample_size(tensor([1e-30, 1e-30])), 2.0)  # whose squares are 0
    with pytest.raises(ValueError, match=r"weights has shape \(3, 1\), expected \(3,\)"):
        F.effective_sample_size(weights.unsqueeze(1))


def test_effective_sample_size_of_normal_weights():
    # w = exp(σ z): E[w]² / E[w²] = exp(-σ²).
    torch.manual_seed(0)
    weights = (0.5 * torch.randn(200_000, dtype=torch.float64)).exp()
    close(F.effective_sample_size(weights) / 200_000, math.exp(-0.25), 0.005)


def test_weighted_loss_by_hand():
    logprobs, weights, advantages = (
        tensor(x, requires_grad=True) for x in ([-1.0, -2.0], [0.5, 3.0], [3.0, -1.0])
    )
    loss = F.weighted_loss(logprobs, weights, advantages)
    close(loss.detach(), -2.25)  # -((-1)(.5)(3) + (-2)(3)(-1)) / 2 = -(-1.5 + 6) / 2
    loss.backward()
    close(logprobs.grad, [-0.75, 1.5])
    assert weights.grad is None
    assert advantages.grad is None


def test_a_baseline_costs_nothing_inside_the_weight():
    """Over all actions of μ, each as often as it is taken: the gradient is π's, whatever b is."""
    logits = tensor([0.2, 0.9, -0.4], dtype=torch.float64, requires_grad=True)
    mu, returns = tensor([0.7, 0.1, 0.2]).double(), tensor([1.0, -2.0, 4.0]).double()
    expected = torch.autograd.grad(-(logits.softmax(0) * returns).sum(), logits)[0]
    for baseline in (0.0, 2.0, -7.0):
        logprobs = logits.log_softmax(0)
        weights = F.importance_weights(logprobs, mu.log())
        # 3 μ(a) is how often an action stands in a mean over three
        loss = F.weighted_loss(logprobs, 3 * mu * weights, returns - baseline)
        close(torch.autograd.grad(loss, logits)[0], expected, 1e-12)


@pytest.mark.parametrize(("rho_bar", "x"), [(0.1, 1 / 2), (0.5, 5 / 7), (1.0, 5 / 6), (1.8, 0.9)])
@pytest.mark.parametrize("c_bar", [0.0, 0.1, 1.0, 1.8])
def test_the_fixed_point_of_vtrace(rho_bar, x, c_bar):
    """V of π_ρ̄ ∝ min(ρ̄ μ, π), whatever c̄ is (Espeholt et al., 2018, Theorem 1)."""
    # Three steps in a row, and only in the last does the action matter: 1 for action 0. All eight
    # sequences of actions stand in the table once, as for μ = (1/2, 1/2); π = (0.9, 0.1).
    actions = torch.cartesian_prod(*[torch.arange(2)] * 3)
    rho = 0.2 + 1.6 * (actions == 0).double()
    rewards = torch.zeros(8, 4).double()
    rewards[:, 2] = actions[:, 2] == 0
    rho = torch.cat([rho, torch.ones(8, 1)], 1)
    end = torch.zeros(8, 4, dtype=torch.bool)
    end[:, 3] = True
    table = [column.flatten() for column in (rewards, rho.log(), end)]
    values = torch.zeros(4, dtype=torch.float64)
    for _ in range(300):  # the slowest, ρ̄ = 0.1, comes nearer by a tenth in each
        targets, _ = F.vtrace(
            table[0], values.repeat(8), table[1], table[2], table[2], 1.0,
            clip_rho=rho_bar, clip_c=c_bar,
        )  # fmt: skip
        values = targets.view(8, 4).mean(0)
    close(values[:3], [x] * 3, 1e-9)


def test_policy_gradient_loss_by_hand():
    logprobs = tensor([-1.0, -2.0], requires_grad=True)
    advantages = tensor([3.0, -1.0], requires_grad=True)
    loss = F.policy_gradient_loss(logprobs, advantages)
    close(loss.detach(), 0.5)  # -((-1)(3) + (-2)(-1)) / 2 = -(-3 + 2) / 2
    loss.backward()
    close(logprobs.grad, [-1.5, 0.5])  # descent makes the better action likelier
    assert advantages.grad is None


def test_ppo_clip_loss_by_hand():
    ratio = tensor([1.5, 1.5, 0.5, 0.5, 1.1])
    advantages = tensor([2.0, -2.0, 2.0, -2.0, 3.0])
    # min(3, 1.2*2) = 2.4; min(-3, -2.4) = -3; min(1, .8*2) = 1; min(-1, -1.6) = -1.6; 3.3.
    # The mean of 2.4 - 3 + 1 - 1.6 + 3.3 = 2.1 over 5, negated.
    close(F.ppo_clip_loss(ratio.log(), torch.zeros(5), advantages, clip=0.2), -0.42)


@pytest.mark.parametrize(
    ("ratio", "advantage", "held"),
    [
        (1.0, 2.0, False),
        (1.0, -2.0, False),
        (1.1, 2.0, False),
        (0.9, -2.0, False),
        (1.5, 2.0, True),  # already likelier than asked for
        (0.5, -2.0, True),  # already less likely than asked for
        (0.5, 2.0, False),  # went the wrong way: must come back
        (1.5, -2.0, False),
    ],
)
def test_gradient_of_ppo_clip_loss(ratio, advantage, held):
    logprobs = tensor([ratio]).log().requires_grad_()
    old = torch.zeros(1, requires_grad=True)
    advantages = tensor([advantage], requires_grad=True)
    F.ppo_clip_loss(logprobs, old, advantages, clip=0.2).backward()
    close(logprobs.grad, [0.0 if held else -ratio * advantage])
    assert old.grad is None
    assert advantages.grad is None


# ---------------------------------------------------------------------------- Q-learning


def test_td_target_by_hand():
    next_values = tensor([4.0, torch.nan], requires_grad=True)
    target = F.td_target(tensor([1.0, 2.0]), next_values, tensor([False, True]), 0.5)
    close(target, [3.0, 2.0])  # 1 + .5*4; terminal, whatever its value
    assert not target.requires_grad


def test_double_q_target_by_hand():
    online = tensor([[1.0, 5.0, 2.0], [7.0, 0.0, 0.0]], requires_grad=True)
    target = tensor([[10.0, 3.0, 20.0], [1.0, 2.0, 3.0]], requires_grad=True)
    rewards, terminated = tensor([1.0, 2.0]), tensor([False, True])
    # Online chooses action 1, worth 3: 1 + .5*3. Target's own maximum would give 11, and with the
    # roles swapped it were 1 + .5*2 = 2.
    ours = F.double_q_target(rewards, online, target, terminated, 0.5)
    close(ours, [2.5, 2.0])
    assert not ours.requires_grad


@pytest.mark.parametrize(
    ("online", "target"), [((2, 3), (2, 4)), ((3, 3), (3, 3)), ((2,), (2,)), ((2, 3), (1, 3))]
)
def test_double_q_target_asserts_shapes(online, target):
    with pytest.raises(ValueError, match=r"^next_q_online has shape .*, next_q_target"):
        F.double_q_target(
            torch.zeros(2), torch.zeros(online), torch.zeros(target), torch.zeros(2).bool(), 0.5
        )
    with pytest.raises(ValueError, match=r"^terminated has shape \(1,\), expected \(2,\)"):
        F.double_q_target(
            torch.zeros(2), torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(1).bool(), 0.5
        )


def test_epsilon_greedy_is_the_best_or_any():
    torch.manual_seed(0)
    n, q = 40_000, tensor([[1.0, 3.0, 2.0]]).expand(40_000, 3)
    assert F.epsilon_greedy(q, 0.0).eq(1).all()
    for epsilon, shares in ((0.3, [0.1, 0.8, 0.1]), (tensor(1.0), [1 / 3] * 3)):
        actions = F.epsilon_greedy(q, epsilon)
        assert actions.dtype == torch.int64
        close(actions.bincount(minlength=3) / n, shares, 4 * 0.5 / math.sqrt(n))
    each = torch.linspace(0, 1, n)
    others = F.epsilon_greedy(q, each) != 1
    # Of those that explore, a third finds the best again: 2/3 ε, on average 1/6 and 1/2.
    close(others.view(2, -1).float().mean(1), [1 / 6, 1 / 2], 4 * 0.5 / math.sqrt(n / 2))
    assert not F.epsilon_greedy(tensor([[1.0, 2.0]], requires_grad=True), 0.5).requires_grad


def test_rows_explore_each_for_itself():
    torch.manual_seed(0)
    explored = torch.stack(
        [F.epsilon_greedy(torch.eye(2)[:1].expand(2, 2), 1.0) for _ in range(4000)]
    )
    pairs = (2 * explored[:, 0] + explored[:, 1]).bincount(minlength=4) / 4000
    close(pairs, [0.25] * 4, 4 * 0.5 / math.sqrt(4000))


@pytest.mark.parametrize(("q", "epsilon"), [((4,), ()), ((4, 2), (2,)), ((4, 2), (4, 1))])
def test_epsilon_greedy_asserts_shapes(q, epsilon):
    with pytest.raises(ValueError, match=r"^q has shape .*, epsilon .*, expected \(N, A\)"):
        F.epsilon_greedy(torch.zeros(q), torch.zeros(epsilon))


def test_huber_loss_by_hand():
    values = tensor([0.5, -2.0, 4.0], requires_grad=True)
    returns = tensor([0.0, 1.0, 4.0], requires_grad=True)
    loss = F.huber_loss(values, returns)
    close(loss.detach(), (0.125 + 2.5 + 0.0) / 3)  # errors .5, -3, 0: .5²/2, 3 - .5, 0
    loss.backward()
    close(values.grad, [0.5 / 3, -1 / 3, 0])  # the error, at most 1
    assert returns.grad is None
    close(F.huber_loss(values, returns, delta=2.0).detach(), (0.125 + 2 * (3 - 1)) / 3)


def test_replay_indices_by_hand():
    # Seven rows, of which row 2 is the newest: the episode that began in row 5 goes on in row 0.
    end = tensor([False, False, True, False, True, False, False])
    rows, lengths = F.replay_indices(tensor([6, 3, 0, 6]), end, 3)
    assert rows.tolist() == [6, 0, 1, 3, 4, 0, 1, 2, 6, 0, 1]
    assert lengths.tolist() == [3, 2, 3, 3]
    rows, lengths = F.replay_indices(tensor([6, 3]), end, 9)
    assert rows.tolist() == [6, 0, 1, 2, 3, 4]  # to the end row, and with it
    assert lengths.tolist() == [4, 2]
    rows, lengths = F.replay_indices(tensor([6, 3]), end, 2)
    assert (rows.tolist(), lengths.tolist()) == ([6, 0, 3, 4], [2, 2])
    with pytest.raises(ValueError, match=r"^length is 1, "):
        F.replay_indices(tensor([6]), end, 1)
    with pytest.raises(ValueError, match=r"end has dtype torch.int64"):
        F.replay_indices(tensor([6]), end.long(), 3)


# ---------------------------------------------------------------------------- statistics


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 2.0, 3.0, 4.0], 1.0),
        ([11.0, 12.0, 13.0, 14.0], 1.0),  # a constant error is not variance
        ([2.5, 2.5, 2.5, 2.5], 0.0),
        ([2.0, 4.0, 6.0, 8.0], 0.0),  # 1 - 1.25/1.25; with the roles swapped 1 - 1.25/5 = .75
        ([4.0, 3.0, 2.0, 1.0], -3.0),  # the residual is -3, -1, 1, 3: 1 - 5/1.25
    ],
)
def test_explained_variance_by_hand(values, expected):
    close(F.explained_variance(tensor(values), tensor([1.0, 2.0, 3.0, 4.0])), expected)


def test_value_loss_by_hand():
    values, returns = tensor([1.0, 5.0]).requires_grad_(), tensor([4.0, 1.0]).requires_grad_()
    close(F.value_loss(values, returns), 12.5)  # (9 + 16) / 2
    loss = F.value_loss(values, returns, deviation=5.0)
    close(loss, 0.5)
    loss.backward()
    close(values.grad, tensor([-3.0, 4.0]) / 25)
    assert returns.grad is None  # a measurement


@pytest.mark.parametrize("rows", [1, 2, 7, 100, 4097])
@pytest.mark.parametrize("constant", [0.0, 0.1, -7.3, 1e4 / 3])
def test_no_variance_is_no_accident(rows, constant):
    column = torch.full((rows,), constant)
    assert F.explained_variance(torch.randn(rows), column) == 0
    assert F.explained_variance(column, column) == 0
    assert F.normalize(column).equal(torch.zeros(rows))  # and not rounding errors / eps


def test_normalize_by_hand():
    x = tensor([1.0, 100.0, 2.0, 3.0])
    # Mean 2, variance (1 + 0 + 1) / 3.
    mask = tensor([True, False, True, True])
    close(F.normalize(x, mask), [-math.sqrt(1.5), 0, 0, math.sqrt(1.5)])
    close(F.normalize(x[mask]), [-math.sqrt(1.5), 0, math.sqrt(1.5)])
    close(F.normalize(x[mask], eps=1.0)[0], -1 / (1 + math.sqrt(2 / 3)))
    assert F.normalize(x, tensor([False, True, False, False])).equal(torch.zeros(4))
    assert F.normalize(x, torch.zeros(4).bool()).equal(torch.zeros(4))
    hidden = x.masked_fill(~mask, torch.nan)
    assert F.normalize(hidden, mask).equal(F.normalize(x, mask))


def test_approx_kl_by_hand():
    old = tensor([0.25, 0.5]).log()
    close(F.approx_kl(tensor([0.5, 0.5]).log(), old), (1 - math.log(2)) / 2)  # r = 2, 1
    close(F.approx_kl(old, old), 0.0)


def test_approx_kl_is_the_divergence_in_expectation():
    # Four rows that hold each action as often as the old policy takes it: the mean is exact.
    old, new = tensor([0.5, 0.25, 0.25]), tensor([0.125, 0.375, 0.5])
    actions = tensor([0, 0, 1, 2])
    exact = (old * (old / new).log()).sum()
    assert abs(exact - (new * (new / old).log()).sum()) > 0.05  # the direction shows
    close(F.approx_kl(new.log()[actions], old.log()[actions]), exact)


def test_clip_fraction_by_hand():
    ratio = tensor([1.0, 1.3, 0.7, 1.1])
    close(F.clip_fraction(ratio.log(), torch.zeros(4), clip=0.2), 0.5)
    close(F.clip_fraction(ratio.log(), torch.zeros(4), clip=0.05), 0.75)


# ---------------------------------------------------------------------------- target networks


def network(constant):
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    for entry in net.state_dict().values():
        entry.fill_(constant)
    return net


def test_polyak_update_by_hand():
    target, online = network(0), network(4)
    storage = [parameter.data_ptr() for parameter in target.parameters()]
    F.polyak_update(target, online, tau=0.25)
    for parameter in target.parameters():
        close(parameter.detach(), torch.full_like(parameter, 1.0))  # .75*0 + .25*4
        assert parameter.is_leaf
        assert parameter.requires_grad
    assert all((buffer == 4).all() for buffer in target.buffers())
    assert all((entry == 4).all() for entry in online.state_dict().values())
    assert storage == [parameter.data_ptr() for parameter in target.parameters()]
    F.polyak_update(target, online, tau=1.0)
    assert all(
        parameter.equal(torch.full_like(parameter, 4.0)) for parameter in target.parameters()
    )


def test_polyak_update_refuses_other_networks():
    # Both would broadcast.
    with pytest.raises(ValueError, match=r"'weight', \(2, 3\).*'weight', \(1, 3\)"):
        F.polyak_update(nn.Linear(3, 2), nn.Linear(3, 1), tau=0.5)
    with pytest.raises(ValueError, match="bias"):
        F.polyak_update(nn.Linear(3, 2), nn.Linear(3, 2, bias=False), tau=0.5)


# ---------------------------------------------------------------------------- continuous control


def test_lower_and_soft_values_by_hand():
    q = tensor([1.0, 5.0, -2.0]), tensor([2.0, 3.0, -2.0])
    close(F.lower_value(q), [1.0, 3.0, -2.0])
    close(F.lower_value(q[:1]), q[0])
    # An action of density 1/e has -log π = 1, which is worth α.
    close(F.soft_value(q, tensor([-1.0, 0.0, 2.0]), alpha=0.5), [1.5, 3.0, -3.0])
    for wrong in ((q[0], q[1][:, None]), (q[0], q[1][:1])):
        with pytest.raises(ValueError, match=r"q\[1\] has shape"):
            F.lower_value(wrong)
        with pytest.raises(ValueError, match=r"q\[1\] has shape"):
            F.soft_value(wrong, q[0], 0.5)
    with pytest.raises(ValueError, match=r"logprobs has shape \(3, 1\)"):
        F.soft_value(q, q[0][:, None], 0.5)


def test_temperature_loss_by_hand():
    # Entropies of 1 and 4 where 1 is wanted: 1.5 too much on average, so log α is to fall by it.
    log_alpha = tensor(-2.0, requires_grad=True)
    logprobs = tensor([-1.0, -4.0], requires_grad=True)
    loss = F.temperature_loss(log_alpha, logprobs, entropy_target=1.0)
    close(loss.detach(), -2.0 * 1.5)
    loss.backward()
    close(log_alpha.grad, 1.5)
    assert logprobs.grad is None
    with pytest.raises(ValueError, match=r"logprobs has shape \(2, 1\)"):
        F.temperature_loss(log_alpha, logprobs[:, None], 1.0)


def test_the_two_losses_of_a_temperature_agree_on_where_to_go():
    # Of α and of log α: the slopes differ by the factor α, never by their sign or their zero.
    logprobs = tensor([-1.0, -4.0])
    for start in (-6.0, 0.0, 2.0):
        for wanted in (1.0, 2.5, 9.0):
            log_alpha = tensor(start, requires_grad=True)
            ours = F.temperature_loss(log_alpha, logprobs, wanted)
            papers = F.temperature_loss(log_alpha.exp(), logprobs, wanted)
            slopes = [torch.autograd.grad(loss, log_alpha)[0] for loss in (ours, papers)]
            close(slopes[1], math.exp(start) * slopes[0])


def test_squashed_log_prob_by_hand():
    # In the middle: log N(0; 0, 1) = -0.9189, and 1 - tanh²(0) = 1; of c = 2, log 2 less.
    zero, one = torch.zeros(1, 2), torch.ones(1, 2)
    close(F.squashed_log_prob(zero, zero, one), [[-0.918939, -0.918939]])
    close(
        F.squashed_log_prob(zero, zero, one, tensor([2.0, 1.0])),
        [[-0.918939 - math.log(2), -0.918939]],
    )
    # u = 1, of N(0.5, 2): -0.03125 - 0.693147 - 0.918939, less log(1 - 0.761594²) = -0.867562.
    u, mean, std = tensor([[1.0]]), tensor([[0.5]]), tensor([[2.0]])
    close(F.squashed_log_prob(u, mean, std), [[-0.775773]])
    # u = 20: 1 - tanh² is 4 e^-40, whose logarithm is 2 log 2 - 40. In float32, tanh is 1.
    far = tensor([[20.0]])
    close(F.squashed_log_prob(far, far, one[:, :1]), [[-0.918939 - 2 * math.log(2) + 40]])


def test_smoothed_actions_stay_near_and_inside():
    torch.manual_seed(0)
    low, high = tensor([-2.0, 0.0]), tensor([2.0, 10.0])
    actions = tensor([[0.0, 5.0]]).expand(20_000, 2)
    moved = (F.smoothed_actions(actions, low, high, noise=0.2, clip=0.5) - actions) / tensor([2, 5])
    assert moved.abs().max() <= 0.5 + 1e-6
    assert (moved.abs() > 0.499).float().mean() > 0.005  # P(|ε| > 2.5 σ) = 0.0124
    close(moved.mean(0), torch.zeros(2), 0.01)
    close(moved.std(0), torch.full((2,), 0.2), 0.01)
    assert len(moved.unique(dim=0)) > 19_000  # each row has a draw of its own,
    assert abs(moved.T.corrcoef()[0, 1]) < 0.03  # and each number
    edge = F.smoothed_actions(high.expand(500, 2), low, high, noise=0.2, clip=0.5)
    assert (edge <= high).all()
    assert (edge == high).any(1).float().mean() > 0.5
    close(F.smoothed_actions(actions[:3], low, high, noise=0.0, clip=0.5), actions[:3])
