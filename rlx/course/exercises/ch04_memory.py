"""Chapter 04: a memory that goes from row to row, and ends with the episode."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor
from torch.distributions import Categorical

from rlx import functional, plain
from rlx.columns import leaves
from rlx.course.exercise import Exercise, fit
from rlx.distributions import ActionDistribution
from rlx.networks import Memory
from rlx.policy import Parametric

_own_step = Memory.step


def _players(env: str, n: int) -> tuple[list, Parametric]:
    """So many environments, and a policy with memory that has not learned yet."""
    import rlx

    envs = [rlx.envs.make(env) for _ in range(n)]
    return envs, rlx.networks.GRUPolicy(rlx.Agent(envs[0]), hidden=6, value=False)


def _remembering() -> Tensor:
    """Three updates of REINFORCE on episodes that were played with a gradient through time."""
    import rlx

    agent = rlx.Agent(rlx.envs.make_vec("Recall-v0", 4), seed=0)
    policy = rlx.networks.GRUPolicy(agent, hidden=6, value=False)

    def loss():
        rollout = agent(policy).episodes(8)
        rollout.mc_returns(0.99)
        rollout = rollout[:-1]
        weights = functional.normalize(rollout.returns)
        return functional.policy_gradient_loss(rollout.logprobs, weights)

    return fit(policy, loss, lr=0.03)


# ---------------------------------------------------------------------- gru_step


def _gru_step(h: Tensor, x: Tensor, w_x: Tensor, w_h: Tensor, b_x: Tensor, b_h: Tensor) -> Tensor:
    """The next state (B, H) of a GRU, from its state (B, H) and input (B, F).

    w_x (3H, F), w_h (3H, H), b_x and b_h (3H,): rows of the reset gate, the update gate, and the
    candidate, in this order, which is torch's."""
    x_r, x_z, x_n = (x @ w_x.T + b_x).chunk(3, dim=1)
    h_r, h_z, h_n = (h @ w_h.T + b_h).chunk(3, dim=1)
    r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    n = torch.tanh(x_n + r * h_n)
    return (1 - z) * n + z * h


def _as_step(answer):
    def step(self, state, x):
        if self.size == 2:
            return _own_step(self, state, x)
        h = x.new_zeros(len(x), self.rnn.hidden_size) if state is None else state[0]
        return (answer(h, x, *self.rnn.all_weights[0]),)

    return step


gru_step = Exercise(
    "gru_step",
    chapter="04",
    reference=_gru_step,
    target="rlx.networks.Memory.step",
    adapt=_as_step,
    train=_remembering,
    also="`torch.nn.GRUCell` is this step, and `torch.nn.GRU` runs it over whole sequences in "
    "compiled code: use it where nothing has to happen between two rows.",
    hints=(
        "Three things are made of x and h: two gates between 0 and 1, and a candidate between -1 "
        "and 1. `chunk` cuts `x @ w_x.T + b_x` into the three parts.",
        "The reset gate multiplies what h contributes to the candidate, its bias included. The "
        "update gate says how much of the old state is *kept*.",
        "`(x_r, x_z, x_n), (h_r, h_z, h_n) = (x @ w_x.T + b_x).chunk(3, -1), (h @ w_h.T + "
        "b_h).chunk(3, -1)`; then r and z are sigmoids of sums, n is `(x_n + r * h_n).tanh()`, and "
        "the result `(1 - z) * n + z * h`.",
    ),
)


def _weights(inputs: int, hidden: int) -> tuple[Tensor, ...]:
    shapes = (3 * hidden, inputs), (3 * hidden, hidden), (3 * hidden,), (3 * hidden,)
    return tuple(torch.randn(shape).mul(0.8).round(decimals=1) for shape in shapes)


@gru_step.case("one row, one input, a state of one number")
def _():
    h, x = torch.tensor([[0.5]], requires_grad=True), torch.tensor([[1.0]], requires_grad=True)
    w_x, w_h = torch.tensor([[1.0], [-1.0], [2.0]]), torch.tensor([[0.5], [1.0], [-2.0]])
    b_x, b_h = torch.tensor([0.1, 0.2, -0.3]), torch.tensor([0.3, -0.1, 0.4])
    return h, x, w_x, w_h, b_x, b_h


@gru_step.case("three rows, two inputs, a state of four numbers")
def _():
    h, x = torch.randn(3, 4).tanh(), torch.randn(3, 2)
    return h.requires_grad_(), x.requires_grad_(), *_weights(2, 4)


@gru_step.case("two rows, of which one is fresh")
def _():
    h = torch.tensor([[0.0, 0.0], [0.3, -0.6]], requires_grad=True)
    return h, torch.tensor([[1.0, -1.0], [0.5, 2.0]], requires_grad=True), *_weights(2, 2)


@gru_step.case("two rows, weights that are to be learned")
def _():
    h = torch.tensor([[0.1, 0.2], [0.3, -0.6]], requires_grad=True)
    x, weights = torch.tensor([[1.0, -1.0], [0.5, 2.0]]), _weights(2, 2)
    return h, x, *(w.requires_grad_() for w in weights)


@gru_step.inputs
def _(draw):
    rows, inputs, hidden = draw.size(1, 40), draw.integer(1, 4), draw.integer(1, 4)
    dtype, learned = draw.one_of(torch.float32, torch.float64), draw.flag()

    def made(*shape: int, grad: bool):
        return (draw.floats(*shape, kinds="tenths") / 3).to(dtype).requires_grad_(grad)

    h, x = made(rows, hidden, grad=True), made(rows, inputs, grad=draw.flag())
    shapes = (3 * hidden, inputs), (3 * hidden, hidden), (3 * hidden,), (3 * hidden,)
    return h, x, *(made(*shape, grad=learned) for shape in shapes)


gru_step.patches(r"""
the update gate is inverted
    Yours keeps where z is 0 and renews where z is 1. Some papers write it so; torch, whose
    weights these are, lets z say how much of the old state is kept: `(1 - z) * n + z * h`.
    - (1 - z) * n + z * h
    + (1 - z) * h + z * n

the candidate is returned as the next state
    You return n: what the state would be if nothing of the old one were kept. A memory
    without the last line, `(1 - z) * n + z * h`, forgets at every step.
    - (1 - z) * n + z * h
    + n

the reset gate is missing
    The candidate takes all of what the old state contributes. The reset gate r decides how
    much of it: `x_n + r * h_n`.
    - r * h_n
    + h_n

the reset gate is applied to h before its weights
    You multiply h by r and then by w_h. Cho et al. (2014) wrote it so; torch multiplies by
    r afterwards, `r * (h @ w_hn.T + b_hn)`, and these are torch's weights.
    - r * h_n
    + (r * h) @ w_h.chunk(3)[2].T + b_h.chunk(3)[2]

the two gates are exchanged
    Your reset gate is made with the weights of the update gate, and the other way round. In
    torch's order the first third of the rows is reset, the second update, the last
    candidate.
    - x_r, x_z, x_n
    + x_z, x_r, x_n
    - h_r, h_z, h_n
    + h_z, h_r, h_n

the biases of x are forgotten
    `b_x` is never added: all three blocks have one.
    - x @ w_x.T + b_x
    + x @ w_x.T

the biases of h are forgotten
    `b_h` is never added: all three blocks have one.
    - h @ w_h.T + b_h
    + h @ w_h.T

all biases are forgotten
    `b_x` and `b_h` are never added.
    - x @ w_x.T + b_x
    + x @ w_x.T
    - h @ w_h.T + b_h
    + h @ w_h.T

the reset gate does not reach the candidate's bias
    r multiplies all that h contributes, its bias included: `r * h_n`.
    - r * h_n
    + r * (h_n - b_h.chunk(3)[2]) + b_h.chunk(3)[2]

the reset gate multiplies all of the candidate
    r multiplies only what h contributes: `x_n + r * h_n`.
    - x_n + r * h_n
    + r * (x_n + h_n)

the candidate is a sigmoid
    Gates lie between 0 and 1; the candidate is a state, between -1 and 1: `tanh`.
    - torch.tanh(
    + torch.sigmoid(

the candidate is not squashed
    Without `tanh` the state can grow without bound.
    - torch.tanh(x_n + r * h_n)
    + x_n + r * h_n

the gates are not squashed
    r and z have to lie between 0 and 1: `sigmoid`.
    - torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
    + x_r + h_r, x_z + h_z

the gates are a tanh
    r and z have to lie between 0 and 1: `sigmoid`.
    - torch.sigmoid(
    + torch.tanh(

the old state is not kept
    The last line has two terms: what is new, and `z * h`, what is kept.
    -  + z * h
    +

the candidate does not make room for the old state
    z is the share of the old state, so the candidate has the share that is left, `1 - z`.
    - (1 - z) * n
    + n

the old state is detached
    The numbers are right, but the gradient does not reach what came before: no `detach()`.
    - (h @ w_h.T + b_h)
    + ((h := h.detach()) @ w_h.T + b_h)

the weights are copied
    The numbers are right, but a new layer with *copies* of the weights learns for itself:
    no gradient reaches `w_x` and the others. Compute with the weights that are given.
    - (x @ w_x.T + b_x)
    + (x @ w_x.detach().T + b_x.detach())
    - (h @ w_h.T + b_h)
    + (h @ w_h.detach().T + b_h.detach())
""")


def _minimal_step(
    h: Tensor, x: Tensor, w_x: Tensor, w_h: Tensor, b_x: Tensor, b_h: Tensor
) -> Tensor:
    """A step with one gate for both purposes (Zhou et al., 2016): (B, H).

    The weights are as in `gru_step`; those of the update gate are not used."""
    x_f, _, x_n = (x @ w_x.T + b_x).chunk(3, dim=1)
    h_f, _, h_n = (h @ w_h.T + b_h).chunk(3, dim=1)
    f = torch.sigmoid(x_f + h_f)
    return f * torch.tanh(x_n + f * h_n) + (1 - f) * h


gru_step.harder(
    "minimal_step",
    _minimal_step,
    (
        "Where r and z stood, the one gate f stands now. Which share does it give the new state?",
        "f is made as r is. It opens the candidate to the old state, and lets the candidate in.",
        "`f = torch.sigmoid(x_f + h_f)`, and `f * torch.tanh(x_n + f * h_n) + (1 - f) * h`.",
    ),
    r"""
    the gate is inverted
        Here f is the share of what is new, and 1 - f that of the old state.
        - f * torch.tanh(x_n + f * h_n) + (1 - f) * h
        + (1 - f) * torch.tanh(x_n + f * h_n) + f * h

    the gate does not reach the candidate
        f also decides how much of the old state the candidate sees.
        - f * h_n
        + h_n

    the gate is made with the weights of the update gate
        Take those of the reset gate, the first block.
        - x_f, _, x_n
        + _, x_f, x_n
        - h_f, _, h_n
        + _, h_f, h_n
    """,
)


# ---------------------------------------------------------------------- forget


def _forget(recur_state: Tensor, fresh: Tensor) -> Tensor:
    """The recurrent state (B, …), with zeros in the rows where `fresh` (B,) is True."""
    rows = fresh.view(-1, *[1] * (recur_state.ndim - 1))
    return torch.where(rows, 0.0, recur_state)


def _side_by_side() -> Tensor:
    """Four poles, replayed row by row with a gradient: memories are cleared where episodes end."""
    envs, policy = _players("IncompleteCartPole-v1", 4)
    rollout, _ = plain.play(envs, policy, plain.begin(envs, seeds=range(4)), 60)
    rewards, end = rollout.column("reward"), rollout.column("end")
    weights, _ = plain.drop_last(plain.discounted_returns(rewards, end, 0.99), rollout.lengths)
    weights, steps = plain.normalize(weights).view(4, 60), rollout[:-1]
    states, fresh = steps.column("state").view(4, 60, -1), steps.column("start").view(4, 60)
    actions = torch.tensor([row.action for row in steps.rows]).view(4, 60)

    def loss():
        h, logprobs = None, []
        for t in range(60):
            h = plain.each(lambda x, t=t: plain.forget(x, fresh[:, t]), h)
            h, dist = policy(h, states[:, t])
            logprobs.append(dist.log_prob(actions[:, t]))
        return plain.policy_gradient_loss(torch.stack(logprobs, 1), weights)

    return fit(policy, loss, lr=0.03)


forget = Exercise(
    "forget",
    chapter="04",
    reference=_forget,
    target="rlx.plain.forget",
    train=_side_by_side,
    also="`recur_state * ~rows` is the same for finite numbers. It lets a NaN or an "
    "infinity of a finished episode through: 0 times NaN is NaN.",
    hints=(
        "Environments that are played side by side end their episodes at different times. Whose "
        "memory has to go?",
        "`fresh` has shape (B,). For a state (B, H) it needs the shape (B, 1), for one of several "
        "layers, (B, L, H), the shape (B, 1, 1): as many dimensions as the state has. And the "
        "sampling loop still holds the state it gave you: leave that as it is.",
        "`rows = fresh.view(-1, *[1] * (recur_state.ndim - 1))`, then `torch.where(rows, 0.0, "
        "recur_state)`",
    ),
)


@forget.case("three environments, of which the second was reset")
def _():
    state = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True)
    return state, torch.tensor([False, True, False])


@forget.case("as many environments as units, of which two were reset")
def _():
    state = torch.tensor([[1.0, 2.0, 4.0], [3.0, 5.0, 7.0], [6.0, 8.0, 9.0]], requires_grad=True)
    return state, torch.tensor([True, False, True])


forget.case("no reset", lambda: (torch.tensor([[1.0, -2.0], [-3.0, 4.0]]), torch.zeros(2).bool()))
forget.case(
    "a state that carries no gradient",
    lambda: (torch.tensor([[1.0, -2.0], [-3.0, 4.0]]), torch.tensor([False, True])),
)


@forget.inputs
def _(draw):
    rows, size = draw.size(1, 40), draw.integer(1, 5)
    # Few of another shape: whoever is not ready for it may make another mistake, too.
    other = {14: (rows, draw.integer(1, 3), size), 15: (rows,)}
    shape = other.get(draw.integer(0, 15), (rows, size))
    state = draw.floats(*shape, kinds="tenths whole wide").to(
        draw.one_of(torch.float32, torch.float64)
    )
    fresh = draw.floats(rows, kinds="whole tenths equal") > draw.one_of(0.0, 99.0, -99.0)
    return state.requires_grad_(draw.flag()), fresh


forget.patches(r"""
all environments forget when one of them is reset
    The others are in the middle of their episodes, and lose what they know. With 64
    environments somebody ends at nearly every step, so nobody would remember anything.
    - torch.where(rows,
    + torch.where(fresh.any(),

the wrong ones forget
    Those that were reset keep the memory of an episode that is over, the others lose
    theirs. Zeros belong where `fresh` is True.
    - 0.0, recur_state
    + recur_state, 0.0

nobody forgets
    The first row of the new episode sees what the last one left behind. Evaluating starts
    the episode with zeros, and then finds other log-probabilities than sampling did.
    - torch.where(rows, 0.0, recur_state)
    + recur_state

it changes the state it was given
    The numbers are right, but you write into the caller's tensor, and whoever keeps it
    finds zeros there afterwards. If a gradient is to flow through it, torch refuses. Make a
    new tensor: `torch.where`.
    - return torch.where(rows, 0.0, recur_state)
    + recur_state[fresh] = 0.0
    +     return recur_state

the gradient is cut for everybody
    The numbers are right. But the memories that go on are cut off from how they came about:
    nothing can be learned about what to keep in mind. No `detach()` here.
    - 0.0, recur_state
    + 0.0, recur_state.detach()

columns are cleared instead of rows
    `fresh` says which rows, one for each environment: `fresh[:, None]` chooses whole rows of a
    table, `fresh` alone meets the last dimension.
    - torch.where(rows,
    + torch.where(fresh,

it works for a state (B, H) only
    A state may have one dimension, (B,), or three, (B, L, H), and `fresh[:, None]` has two: then
    rows meet what they do not belong to. It needs as many dimensions as the state has.
    - fresh.view(-1, *[1] * (recur_state.ndim - 1))
    + fresh[:, None]

only the first unit is cleared
    The whole row has to go.
    - torch.where(rows,
    + torch.where(rows & (torch.arange(recur_state.shape[-1]) == 0),

fresh rows get ones
    Nothing is known after a reset, and that is what zeros stand for.
    - 0.0
    + 1.0

only the rows that go on are returned
    All rows stay, those of fresh environments as zeros.
    - torch.where(rows, 0.0, recur_state)
    + recur_state[~fresh]

only the first of the fresh environments forgets
    The loop returns, or leaves, after the first.
    - rows = fresh.view
    + rows = (fresh & (fresh.cumsum(0) == 1)).view
""")


def _go_on_with_mean(recur_state: Tensor, fresh: Tensor) -> Tensor:
    """The state (B, H), with the mean of the other rows where `fresh`; zeros if there are none."""
    others = (~fresh).sum().clamp(min=1)
    mean = torch.where(fresh[:, None], 0.0, recur_state).sum(0) / others
    return torch.where(fresh[:, None], mean, recur_state)


def _of_two_dimensions(draw) -> tuple:
    rows = draw.size(1, 40)
    state = draw.floats(rows, draw.integer(1, 5), kinds="tenths whole wide").to(
        draw.one_of(torch.float32, torch.float64)
    )
    fresh = draw.floats(rows, kinds="whole tenths equal") > draw.one_of(0.0, 99.0, -99.0)
    return state.requires_grad_(draw.flag()), fresh


forget.harder(
    "go_on_with_mean",
    _go_on_with_mean,
    (
        "A mean of some rows is their sum, divided by how many they are.",
        "Put zeros into the fresh rows, add up, and divide by `(~fresh).sum()`, or by 1.",
        "`mean = torch.where(fresh[:, None], 0.0, recur_state).sum(0) / "
        "(~fresh).sum().clamp(min=1)`, then `torch.where(fresh[:, None], mean, recur_state)`.",
    ),
    r"""
    the mean is over all rows
        Fresh rows know nothing, and are not counted.
        - torch.where(fresh[:, None], 0.0, recur_state).sum(0) / others
        + recur_state.mean(0)

    the sum is divided by the number of all rows
        Divide by as many as were added.
        - / others
        + / len(fresh)

    all rows get the mean
        Only fresh ones do. The others keep what they have.
        - return torch.where(fresh[:, None], mean, recur_state)
        + return mean.expand(recur_state.shape).clone()
    """,
    inputs=_of_two_dimensions,
)


# ---------------------------------------------------------------------- unroll


def _unroll(step, h0: Tensor, states: Tensor, start: Tensor) -> Tensor:
    """The recurrent state entering each row of a table: (N, H).

    `states` (N, F) holds episodes back to back, `start` (N,) is True in the first row of each. An
    episode begins with `h0` (H,); `step(h, state)` gives the state after a row."""
    entering, h = [], h0
    for state, first in zip(states, start):
        h = h0 if first else h
        entering.append(h)
        h = step(h, state)
    return torch.stack(entering)


def _as_unroll(answer):
    """What is one tensor (H,) to the answer is a memory here: a tuple of parts (1, …), or None."""

    def unroll(step, h0, states, start):
        zeros = plain.each(torch.zeros_like, step(None, states[0])) if h0 is None else h0
        sizes = [part.shape[1] for part in zeros]
        joined = lambda h: torch.cat([part[0] for part in h])  # noqa: E731
        parts = lambda h: tuple(part[None] for part in h.split(sizes))  # noqa: E731
        start = torch.tensor([True, *start[1:]])
        entering = answer(lambda h, x: joined(step(parts(h), x)), joined(zeros), states, start)
        return [parts(h) for h in entering]

    return unroll


def _through_a_table() -> Tensor:
    """Whole episodes, one after the other in a table; the policy is asked once it is unrolled."""
    envs, policy = _players("Recall-v0", 4)
    rollout, _ = plain.play(envs, policy, plain.begin(envs, seeds=range(4)), 12)
    rewards, end = rollout.column("reward"), rollout.column("end")
    returns, _ = plain.drop_last(plain.discounted_returns(rewards, end, 0.99), rollout.lengths)
    weights, rows = plain.normalize(returns), rollout[:-1].rows
    states, start = torch.stack([row.state for row in rows]), [row.start for row in rows]

    def loss():
        entering = plain.unroll(lambda h, x: policy(h, x[None])[0], None, states, start)
        dists = [policy(h, row.state[None])[1] for h, row in zip(entering, rows)]
        logprobs = [dist.log_prob(row.action[0][None]) for dist, row in zip(dists, rows)]
        return plain.policy_gradient_loss(torch.cat(logprobs), weights)

    return fit(policy, loss, lr=0.03)


def _stepping(w_h: Tensor, w_x: Tensor):
    def step(h: Tensor, state: Tensor) -> Tensor:
        if h.shape != w_h.shape[:1] or state.shape != w_x.shape[1:]:
            raise ValueError(
                f"step takes h of shape {tuple(w_h.shape[:1])} and a state of shape "
                f"{tuple(w_x.shape[1:])}; it was given {tuple(h.shape)} and {tuple(state.shape)}"
            )
        return torch.tanh(w_h @ h + w_x @ state)

    return step


unroll = Exercise(
    "unroll",
    chapter="04",
    reference=_unroll,
    target="rlx.plain.unroll",
    adapt=_as_unroll,
    call=lambda answer, w_h, w_x, h0, states, start: answer(_stepping(w_h, w_x), h0, states, start),
    train=_through_a_table,
    also="`torch.nn.GRU` on a `PackedSequence` takes row t of all episodes at once, and the batch "
    "shrinks as short ones end. What it returns are the states *after* each row.",
    hints=(
        "Row t is entered with what `step` made of row t - 1, unless row t begins an episode. What "
        "then?",
        "Keep a variable h. In each row: if it is a first row, h is h0. Then note h, and only then "
        "take the step.",
        "`for state, first in zip(states, start): h = h0 if first else h; entering.append(h); h = "
        "step(h, state)`, and at the end `torch.stack(entering)`.",
    ),
)


@unroll.case("one episode of 4 rows")
def _():
    w_h = torch.tensor([[0.5, -0.4], [0.3, 0.9]], requires_grad=True)
    w_x = torch.tensor([[1.0], [-0.6]], requires_grad=True)
    states = torch.tensor([[1.0], [0.5], [-2.0], [0.3]], requires_grad=True)
    return w_h, w_x, torch.zeros(2), states, torch.tensor([True, False, False, False])


@unroll.case("episodes of 3, 1 and 2 rows, back to back")
def _():
    w_h, w_x, h0, _, _ = unroll.cases[0].inputs()
    states = torch.tensor([[1.0], [0.5], [-2.0], [0.3], [0.8], [-0.2]], requires_grad=True)
    return w_h, w_x, h0, states, torch.tensor([True, False, False, True, True, False])


@unroll.case("a fresh state that is not zero")
def _():
    w_h, w_x, _, states, _ = unroll.cases[0].inputs()
    return w_h, w_x, torch.tensor([0.2, -0.3]), states, torch.tensor([True, False, True, False])


@unroll.inputs
def _(draw):
    lengths, size, inputs = draw.lengths(1, 12, 4), draw.integer(1, 3), draw.integer(1, 3)
    rows, grad = sum(lengths), draw.flag()
    w_h = (draw.floats(size, size, kinds="tenths") / 3).requires_grad_()
    w_x = (draw.floats(size, inputs, kinds="tenths") / 3).requires_grad_()
    h0 = draw.floats(size, kinds="tenths equal").div(5).requires_grad_(grad)
    states = draw.floats(rows, inputs, kinds="tenths whole").requires_grad_(draw.flag())
    return w_h, w_x, h0, states, draw.ends(lengths).roll(1, 0)


unroll.patches(r"""
the state after the row is stored as the state entering it
    Your row t holds h after row t. Whoever starts there again, as `evaluate` does with a
    fragment, would take row t's step twice. Note h first, then step.
    -         entering.append(h)
    -         h = step(h, state)
    +         h = step(h, state)
    +         entering.append(h)

the state is detached at every step
    The numbers are right, but the gradient reaches only one row back: what the first row
    should keep in mind for the last can never be learned. No `detach()` within an episode.
    - step(h, state)
    + step(h.detach(), state)

every row starts afresh
    Each step is taken from h0: row t knows about row t - 1, and of nothing before. The
    state that goes in has to be the one that came out.
    - step(h, state)
    + step(h0, state)

the memory runs on from one episode into the next
    The first row of an episode has to be entered with h0. Yours is entered with what the
    episode before left behind.
    -         h = h0 if first else h
    +

it forgets one row too late
    You forget after the first row's step, so that row was entered with the old memory, and
    what it saw is lost. Forget before anything else is done with the row.
    -         h = h0 if first else h
    +
    - = step(h, state)
    + = h0 if first else step(h, state)

it forgets one row too early
    You forget before the last row of an episode, which is thus entered with no memory, and
    the next episode with what that row left. `start[t]` is about row t, not about the row
    before.
    - zip(states, start)
    + zip(states, start.roll(-1))

a new episode begins with zeros, whatever h0 is
    `h0` is what an episode begins with. It may be something other than zeros.
    - h = h0 if first else h
    + h = 0 * h0 if first else h

every row gets the fresh state
    Nothing is ever kept: take the step, and go on with what comes out.
    -         h = step(h, state)
    +

only the last state is returned
    Each row needs the state that enters it: keep all of them.
    - torch.stack(entering)
    + h
""")


def _unroll_cut(step, h0: Tensor, states: Tensor, start: Tensor) -> Tensor:
    """As `unroll`, the gradient cut before every third row of an episode: (N, H)."""
    entering, h, row = [], h0, 0
    for state, first in zip(states, start):
        h, row = (h0, 0) if first else (h, row + 1)
        h = h.detach() if row and row % 3 == 0 else h
        entering.append(h)
        h = step(h, state)
    return torch.stack(entering)


unroll.harder(
    "unroll_cut",
    _unroll_cut,
    (
        "The numbers stay the same. Where does the way back end?",
        "Count the rows of the episode. Before rows 3, 6, 9, … go on with `h.detach()`.",
        "`h, row = (h0, 0) if first else (h, row + 1)`, then `h = h.detach() if row and row % 3 "
        "== 0 else h`, and all else as before.",
    ),
    r"""
    nothing is cut
        The gradient still goes all the way back: `h.detach()` before rows 3, 6, 9, …
        - h.detach() if row and row % 3 == 0 else h
        + h

    it is cut in every row
        Within three rows the gradient goes on.
        - row % 3 == 0
        + row > 0

    the rows of all episodes are counted together
        Each episode is counted from its own first row.
        - (h0, 0) if first
        + (h0, row + len(entering[:1])) if first

    the gradient does not reach h0
        Row 0 is entered with h0 itself. The first cut is before row 3.
        - if row and row % 3
        + if row % 3
    """,
)


# ---------------------------------------------------------------------- vectorize


def _vectorize(episodes: list[list[tuple]]) -> tuple[Tensor, Tensor | None]:
    """States (N, *obs) and recurrent states (N, H) of all rows, or None if no row has one.

    Each episode is a list of rows (state, recurrent state); None stands for zeros."""
    rows = [row for episode in episodes for row in episode]
    states = torch.stack([state for state, _ in rows])
    known = [recur for _, recur in rows if recur is not None]
    if not known:
        return states, None
    zeros = torch.zeros_like(known[0])
    return states, torch.stack([zeros if recur is None else recur for _, recur in rows])


def _vectorized_by(answer):
    def vectorize(rollout):
        parts, start = list(leaves(rollout.recur_states)), rollout.start.tolist()
        memory = torch.cat(parts, 1) if parts else None
        rows = [
            (state, None if memory is None or fresh else memory[k])
            for k, (state, fresh) in enumerate(zip(rollout.states, start))
        ]
        borders = [0, *itertools.accumulate(rollout.lengths)]
        states, recur = answer([rows[a:b] for a, b in itertools.pairwise(borders)])
        if recur is not None:
            recur = recur.split([part.shape[1] for part in parts], 1)
            recur = recur if isinstance(rollout.recur_states, tuple) else recur[0]
        elif memory is not None and all(start):
            recur = rollout.recur_states  # nothing but zeros
        return rollout.replace(
            lengths=[1] * len(rollout), vectorized=True, states=states, recur_states=recur
        )

    return vectorize


def _in_one_pass() -> Tensor:
    """A recurrent policy, judged row by row with the memory it had."""
    import rlx

    agent = rlx.Agent(rlx.envs.make_vec("Reach-v0", 4), seed=0)
    policy = rlx.networks.GRUPolicy(agent, hidden=8)

    def loss():
        rollout = agent(policy).episodes(4, horizon=6, dry=True)
        rollout.mc_returns(0.9)
        again = agent(policy).evaluate(rollout[:-1].vectorize())
        error = again.others[0] - again.returns
        return (error.square() - again.logprobs * again.returns).mean()

    return fit(policy, loss)


vectorize = Exercise(
    "vectorize",
    chapter="04",
    reference=_vectorize,
    results=("states", "recurrent states"),
    target="rlx.Rollout.vectorize",
    adapt=_vectorized_by,
    train=_in_one_pass,
    also="`torch.nn.utils.rnn.pack_sequence` puts rows in one batch as well, sorted by time: what "
    "a loop over time needs, and what makes it easy to mix up rows.",
    hints=(
        "Forget which episode a row belongs to, but not the order. Which rows have no recurrent "
        "state, and what does a policy that has forgotten everything start from?",
        "First one flat list of rows: all of the first episode, then all of the second. A missing "
        "recurrent state is zeros, of the same shape as those that are there.",
        "`rows = [row for episode in episodes for row in episode]`, then `torch.stack` the states, "
        "and the recurrent states with `torch.zeros_like(…)` in place of each None. If all are "
        "None, return None.",
    ),
)


def _row(number: float, recur: float | None = None) -> tuple:
    memory = None if recur is None else torch.tensor([recur, -recur, recur**2])
    return torch.tensor([number, 10 + number]), memory


vectorize.case(
    "two episodes of a recurrent policy, each beginning with no recurrent state",
    lambda: ([[_row(1), _row(2, 0.3), _row(3, 0.4)], [_row(5), _row(6, 0.7)]],),
)
vectorize.case(
    "a fragment that goes on with a recurrent state, then a fresh episode",
    lambda: ([[_row(4, 0.2), _row(5, 0.6)], [_row(8), _row(9, 0.9), _row(11, 0.1)]],),
)
vectorize.case(
    "two episodes of a policy without memory",
    lambda: ([[_row(1), _row(2)], [_row(7), _row(8), _row(9)]],),
)


@vectorize.inputs
def _(draw):
    shape, size = draw.one_of((2,), (1,), (3, 2)), draw.integer(1, 4)
    dtype, grad, memory = draw.one_of(torch.float32, torch.float64), draw.flag(), draw.integer(0, 3)

    def row(k: int) -> tuple:
        # 0: nobody has a memory; 1: all but first rows; 2: all; 3: any
        has = (False, k > 0, True, memory == 3 and draw.flag())[memory]
        recur = draw.floats(size, kinds="tenths whole").to(dtype).requires_grad_(grad)
        return draw.floats(*shape, kinds="tenths whole").to(dtype), recur if has else None

    return ([[row(k) for k in range(n)] for n in draw.lengths(1, 8, 4)],)


vectorize.patches(r"""
the rows are sorted by time, not by episode
    You take the first row of each episode, then the second of each, and so on. The other
    columns (actions, rewards) go episode by episode: their rows would belong to other
    states.
    - rows = [row for episode in episodes for row in episode]
    + by_time = itertools.zip_longest(*episodes)
    +     rows = [row for rows in by_time for row in rows if row is not None]

the recurrent states are lost
    A row without its recurrent state is a row without its past: a recurrent policy would
    judge every step as if it were the first. Let them travel with their rows.
    - if not known:
    + if True:

every row gets zeros for its recurrent state
    Zeros are right where an episode begins, and only there. Elsewhere the row has a
    recurrent state of its own: it is the second entry of the row.
    - zeros if recur is None else recur
    + zeros

it fails where the recurrent state is None
    A first row has no recurrent state, and `torch.stack` cannot stack None. Nothing is
    known there yet, and that is what zeros stand for.
    - zeros if recur is None else recur
    + recur

it asks the first row whether there is any memory
    The first row of an episode never has a recurrent state, so the others lose theirs with
    it. Look whether *any* row has one.
    - if not known:
    + if rows[0][1] is None:

fresh rows have no row among the recurrent states
    You leave out what is None, so there are fewer recurrent states than states, and all of
    them stand beside the wrong row. Put zeros there.
    - torch.stack([zeros if recur is None else recur for _, recur in rows])
    + torch.stack(known)

where no row has a recurrent state, there are zeros in place of None
    A policy without memory has none to give: return None for the second part.
    -         return states, None
    +         return states, torch.zeros(len(rows), 1)

the recurrent states are detached
    The numbers are right. Whether a gradient goes on into the past is for the caller to
    say.
    - else recur for
    + else recur.detach() for

only the first episode is there
    Go through all episodes.
    - for episode in episodes for
    + for episode in episodes[:1] for

the last row of each episode is missing
    All rows stay: what is to be left out was sliced off before.
    - for row in episode]
    + for row in episode[:-1]]
""")


def _first_rows(episodes: list[list[tuple]]) -> Tensor:
    """For every row of the batch, the row in which its episode begins: (N,) whole numbers."""
    lengths = torch.tensor([len(episode) for episode in episodes])
    return (lengths.cumsum(0) - lengths).repeat_interleave(lengths)


vectorize.harder(
    "first_rows",
    _first_rows,
    (
        "In which row does each episode begin? How often is that number needed?",
        "An episode begins where all before it have ended: the sum of their lengths.",
        "`(lengths.cumsum(0) - lengths).repeat_interleave(lengths)`",
    ),
    r"""
    it is the row in which the episode ends
        What `cumsum` gives is the end: subtract the episode's own length.
        - lengths.cumsum(0) - lengths
        + lengths.cumsum(0) - 1

    there is one number for each episode
        Each row needs its own: `repeat_interleave(lengths)`.
        - .repeat_interleave(lengths)
        +

    it is the number of the episode
        Which row of the table does it begin in?
        - lengths.cumsum(0) - lengths
        + torch.arange(len(lengths))
    """,
)


# ---------------------------------------------------------------------- influence


def _influence(policy, states: Tensor) -> Tensor:
    """Slope of the last row's log-probability of action 0 with respect to each row: (T,)."""
    states, h = states.clone().requires_grad_(), None
    for state in states:
        h, dist, *_ = policy(h, state[None])
    score = dist.log_prob(torch.zeros(1, dtype=torch.long))
    (slope,) = torch.autograd.grad(score.sum(), states)
    return slope.norm(dim=1)


class Policy(Parametric):
    """For the cases: weights that are given, a memory or none. An error may show its name."""

    def __init__(self, w_h: Tensor, w_x: Tensor, w_a: Tensor, memory: bool) -> None:
        super().__init__()
        self.w_h, self.w_x, self.w_a = map(torch.nn.Parameter, (w_h, w_x, w_a))
        self.memory = memory

    def forward(self, h, state):
        known = state @ self.w_x.T
        if self.memory and h is not None:
            known = known + h @ self.w_h.T
        h = known.tanh()
        dist = ActionDistribution(Categorical(logits=h @ self.w_a.T))
        return (h if self.memory else None), dist, h.sum(-1)


def _influenced(answer, w_h, w_x, w_a, memory, states) -> dict:
    policy = Policy(w_h, w_x, w_a, memory)
    found = answer(policy, states)
    return {
        "": found,
        "does `states` ask for a gradient afterwards": states.requires_grad,
        "did the policy's parameters get a gradient": any(
            p.grad is not None for p in policy.parameters()
        ),
        "do the policy's parameters still ask for one": all(
            p.requires_grad for p in policy.parameters()
        ),
    }


influence = Exercise(
    "influence",
    chapter="04",
    reference=_influence,
    call=_influenced,
    also="`torch.func.grad` of a function of `states` gives the same slope without `clone` and "
    "`requires_grad_`.",
    hints=(
        "A gradient with respect to the observations needs observations that ask for one.",
        "`states.clone().requires_grad_()` leaves the caller's as they are. Run through its rows, "
        "and hand the memory on. Which of the distributions is the last?",
        "`score = dist.log_prob(torch.zeros(1, dtype=torch.long))`, `(slope,) = "
        "torch.autograd.grad(score.sum(), states)`, `slope.norm(dim=1)`.",
    ),
)


@influence.case("four rows, a policy with a memory")
def _():
    w_h, w_x = torch.tensor([[0.5, -0.4], [0.3, 0.9]]), torch.tensor([[1.0, 0.2], [-0.6, 0.4]])
    states = torch.tensor([[1.0, 0.0], [0.5, -1.0], [-0.3, 0.2], [0.1, 0.6]])
    return w_h, w_x, torch.tensor([[1.0, -0.5], [0.3, 0.8], [-0.7, 0.1]]), True, states


@influence.case("the same rows, a policy without memory")
def _():
    w_h, w_x, w_a, _, states = influence.cases[0].inputs()
    return w_h, w_x, w_a, False, states


@influence.inputs
def _(draw):
    rows, inputs, hidden, n = (draw.integer(1, k) for k in (6, 3, 3, 3))
    shapes = (hidden, hidden), (hidden, inputs), (n + 1, hidden)
    weights = (draw.floats(*shape, kinds="tenths") / 4 for shape in shapes)
    return *weights, draw.flag(), draw.floats(rows, inputs, kinds="tenths whole") / 4


influence.patches(r"""
the memory is not handed on
    Every row is judged as if it were the first, so only the last row matters: give `h` back
    to the policy.
    - policy(h, state
    + policy(None, state

the memory is detached
    The gradient cannot go back further than one row: no `detach()` on the way.
    - policy(h, state
    + policy(h if h is None else h.detach(), state

it is the slope of the probability, not of its logarithm
    Ask for the log-probability: no `exp()`.
    - score.sum()
    + score.exp().sum()

the slope is squared
    The norm is the root of the sum of squares.
    - slope.norm(dim=1)
    + slope.pow(2).sum(dim=1)

the entries of a slope are added up
    Positive and negative ones would cancel: take the norm of each row.
    - slope.norm(dim=1)
    + slope.sum(dim=1)

absolute values are added up
    The norm is the root of the sum of squares: `norm(dim=1)`.
    - slope.norm(dim=1)
    + slope.abs().sum(dim=1)

it is one number for the whole episode
    Each row has an influence of its own: `norm(dim=1)`.
    - slope.norm(dim=1)
    + slope.norm()

it asks about action 1
    Action 0 is asked about.
    - torch.zeros(1
    + torch.ones(1

`states` itself is made to ask for a gradient
    The caller's tensor is changed: from now on whatever is computed with it keeps a graph.
    Work on a copy: `states.clone().requires_grad_()`.
    - states.clone().requires_grad_()
    + states.requires_grad_()

the policy's parameters get a gradient as well
    `backward()` leaves one in every parameter, and the next optimizer step would use it.
    Ask for one gradient only: `torch.autograd.grad(score.sum(), states)`.
    - (slope,) = torch.autograd.grad(score.sum(), states)
    + score.sum().backward(); slope = states.grad
""")


def _memory_share(policy, states: Tensor) -> Tensor:
    """Influence of the rows before the last, as a share of the influence of all: a scalar."""
    found = _influence(policy, states)
    return 1 - found[-1] / found.sum()


influence.harder(
    "memory_share",
    _memory_share,
    (
        "It is made of what `influence` returns.",
        "The last row's share is its influence divided by the sum; the rest is the memory's.",
        "`found = influence(policy, states)`, and `1 - found[-1] / found.sum()`.",
    ),
    r"""
    it is the last row's share
        The other rows' is asked for: the rest of 1.
        - 1 - found[-1] / found.sum()
        + found[-1] / found.sum()

    it is a sum, not a share
        Divide by the influence of all rows.
        - 1 - found[-1] / found.sum()
        + found[:-1].sum()

    it is the first row's share
        All rows but the last are counted.
        - 1 - found[-1] / found.sum()
        + found[0] / found.sum()
    """,
    call=lambda answer, *inputs: _influenced(answer, *inputs)[""],
)
