"""Returns, advantages, targets and losses: pure functions on the columns of a flat table of steps.

A column has shape (N,), one entry a row, episodes back to back. `end` marks the last row of each
episode: the *end state*, the observation after the last step, with reward 0 and an action that was
never executed. `terminated` marks the end states whose value counts as 0. Any other end state was
cut off, by a time limit or a segment border, and its own value stands for what was never seen.
So bootstrapping is one rule, the value of the next row, and nothing crosses between episodes.

Results are differentiable in what they read, unless their docstring says otherwise. Wrong shapes
raise a ValueError; nothing broadcasts. Losses and statistics average over every row they are
given: hand them the rows of executed steps, without the end rows.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid


def _check(**columns: Tensor) -> None:
    # (N,) against (N, 1) would broadcast to (N, N), and a mean hides it.
    first, size = next((name, (column.numel(),)) for name, column in columns.items())
    for name, column in columns.items():
        if column.shape != size:
            shape = tuple(column.shape)
            raise ValueError(
                f"{name} has shape {shape}, expected {size}: one number a row of {first}"
            )
        if name in ("end", "terminated", "mask") and column.dtype != torch.bool:
            raise ValueError(f"{name} has dtype {column.dtype}, expected torch.bool")


def _bootstrap(values: Tensor, end: Tensor, terminated: Tensor) -> tuple[Tensor, Tensor]:
    """V, or 0 where the environment terminated; and the same one row ahead."""
    if not end[-1:].all():
        raise ValueError("end is False in the last row: there is no end state to bootstrap from")
    if (terminated & ~end).any():
        raise ValueError("terminated is True in a row where end is False: it marks end states only")
    v = torch.where(terminated, 0, values)
    return v, v.roll(-1)  # the last row sees the first: harmless, end rows never look ahead


def _recur(x: Tensor, a: Tensor, n: int | None = None, start: Tensor | None = None) -> Tensor:
    """Solve y_t = x_t + a_t y_{t+1}, where a_t = 0 at episode ends. Numbers must be finite.

    With n: begin at y = start and update y_t <- x_t + a_t y_{t+1} n times.
    """
    # A loop over 32,768 rows takes the better part of a second. But two steps of the recurrence
    # are one step of the same kind, y_t = (x_t + a_t x_{t+1}) + (a_t a_{t+1}) y_{t+2}. So we double
    # the stride until it spans the longest episode: log2 rounds of whole-column arithmetic, about
    # a millisecond (Hillis & Steele, 1986, "Data parallel algorithms").
    n = n or 1 << len(x).bit_length()  # a power of two beyond the table: to the end
    a, stride = a[:-1], 1  # a[t] leads from row t to row t + stride

    def step(y: Tensor) -> Tensor:
        return torch.cat([x[:-stride] + a * y[stride:], x[-stride:]])

    while n and a.any():
        if n & 1:  # n in binary says which strides add up to it
            start = step(start)
        x, a = step(x), a[:-stride] * a[stride:]
        n, stride = n >> 1, stride * 2
    return x if n else start


def discounted_returns(rewards: Tensor, end: Tensor, gamma: float) -> Tensor:
    """Monte-Carlo returns, never bootstrapped (Sutton & Barto, 2018, Eq. 3.9).

        G_t = r_t + γ G_{t+1},    G_t = r_t in the last row of an episode

    Both (N,). The last row's reward counts, so this also works on tables whose end states were
    sliced off, as long as `end` marks the rows that are last now.
    """
    _check(rewards=rewards, end=end)
    return _recur(rewards, gamma * (~end).to(rewards))  # .to: γ times a bool would be float32


def n_step_returns(
    rewards: Tensor,
    values: Tensor,
    end: Tensor,
    terminated: Tensor,
    gamma: float,
    n: int | None = None,
) -> Tensor:
    """n-step returns, or with n=None as far as the episode goes (Sutton & Barto, 2018, Eq. 7.1).

        G_t = r_t + γ r_{t+1} + … + γ^{n-1} r_{t+n-1} + γ^n V_{t+n}

    A sum that reaches the end state stops there, with its V. All columns (N,); end rows hold V,
    or 0 where terminated.
    """
    _check(rewards=rewards, values=values, end=end, terminated=terminated)
    if n is not None and n < 1:
        raise ValueError(f"n is {n}, expected at least 1, or None for the whole episode")
    v, _ = _bootstrap(values, end, terminated)
    return _recur(torch.where(end, v, rewards), gamma * (~end).to(v), n, start=v)


def lambda_returns(
    rewards: Tensor, values: Tensor, end: Tensor, terminated: Tensor, gamma: float, lambda_: float
) -> Tensor:
    """λ-returns, the geometric mixture of all n-step returns (Sutton & Barto, 2018, Eq. 12.2).

        G_t = r_t + γ ((1-λ) V_{t+1} + λ G_{t+1})

    All columns (N,); end rows hold V, or 0 where terminated.
    """
    _check(rewards=rewards, values=values, end=end, terminated=terminated)
    v, next_v = _bootstrap(values, end, terminated)
    known = torch.where(end, v, rewards + gamma * (1 - lambda_) * next_v)
    return _recur(known, gamma * lambda_ * (~end).to(v))


def gae(
    rewards: Tensor,
    values: Tensor,
    end: Tensor,
    terminated: Tensor,
    gamma: float,
    gae_lambda: float,
) -> Tensor:
    """Generalised advantage estimates (Schulman et al., 2016, Eq. 16).

        δ_t = r_t + γ V_{t+1} - V_t,    A_t = δ_t + γλ A_{t+1}

    All columns (N,); 0 at end rows, where nothing was done. A + V is the λ-return.
    """
    _check(rewards=rewards, values=values, end=end, terminated=terminated)
    v, next_v = _bootstrap(values, end, terminated)
    delta = torch.where(end, 0, rewards + gamma * next_v - v)
    return _recur(delta, gamma * gae_lambda * (~end).to(v))


@torch.no_grad()
def vtrace(
    rewards: Tensor,
    values: Tensor,
    log_ratios: Tensor,
    end: Tensor,
    terminated: Tensor,
    gamma: float,
    gae_lambda: float = 1.0,
    clip_rho: float = 1.0,
    clip_c: float = 1.0,
    clip_pg_rho: float | None = 1.0,
) -> tuple[Tensor, Tensor]:
    """V-trace targets and policy-gradient advantages (Espeholt et al., 2018, Eq. 1, Remarks 1-2).

        ρ_t = π(a_t|s_t) / μ(a_t|s_t),    c_t = λ min(c̄, ρ_t)
        v_t = V_t + min(ρ̄, ρ_t) (r_t + γ V_{t+1} - V_t) + γ c_t (v_{t+1} - V_{t+1})
        A_t = min(ρ̄_pg, ρ_t) (r_t + γ (λ v_{t+1} + (1-λ) V_{t+1}) - V_t)

    All columns (N,); `log_ratios` is log ρ. At end rows v is V, or 0 where terminated, and A is 0.
    With clip_pg_rho=None A has no weight in front, for a loss that weighs its rows itself
    (`weighted_loss`). The paper's advantage is the one with λ = 1; mixing V in otherwise is rlax's
    convention. Both results are targets and carry no gradient.
    """
    _check(rewards=rewards, values=values, log_ratios=log_ratios, end=end, terminated=terminated)
    v, next_v = _bootstrap(values, end, terminated)
    rho = log_ratios.exp()
    delta = torch.where(end, 0, rho.clamp(max=clip_rho) * (rewards + gamma * next_v - v))
    c = torch.where(end, 0, gae_lambda * rho.clamp(max=clip_c))
    targets = v + _recur(delta, gamma * c)
    next_return = gae_lambda * targets.roll(-1) + (1 - gae_lambda) * next_v
    advantages = rewards + gamma * next_return - v
    if clip_pg_rho is not None:
        advantages = rho.clamp(max=clip_pg_rho) * advantages
    return targets, torch.where(end, 0, advantages)


@torch.no_grad()
def importance_weights(
    logprobs: Tensor, behaviour_logprobs: Tensor, clip: float | None = None
) -> Tensor:
    """Importance weights π(a|s) / μ(a|s), at most `clip` (Precup et al., 2000).

    Both (N,). Weights say how much a sample counts, and so carry no gradient.
    """
    _check(logprobs=logprobs, behaviour_logprobs=behaviour_logprobs)
    return (logprobs - behaviour_logprobs).exp().clamp(max=float("inf") if clip is None else clip)


@torch.no_grad()
def effective_sample_size(weights: Tensor) -> Tensor:
    """How many rows of equal weight would average out as much noise (Kong, 1992).

        (Σ_t w_t)² / Σ_t w_t²

    Weights are (N,), 0 or more. A scalar from 1, where one row has all the weight, to N, where all
    weights are equal; 0 where all are 0. Carries no gradient.
    """
    _check(weights=weights)
    w = weights / weights.max().clamp(min=torch.finfo(weights.dtype).tiny)  # squares stay finite
    return torch.where(weights.any(), w.sum().square() / w.square().sum(), 0)


def weighted_loss(logprobs: Tensor, weights: Tensor, advantages: Tensor) -> Tensor:
    """-mean(w_t A_t log π(a_t|s_t)), for rows that another policy played (Degris et al., 2012).

    All (N,); w is π/μ, clipped perhaps. No gradient flows into weights or advantages. A scalar. A
    baseline has to be part of A, inside the weight: E_μ[w b ∇log π] is 0, E_μ[b ∇log π] is not.
    """
    _check(logprobs=logprobs, weights=weights, advantages=advantages)
    return policy_gradient_loss(logprobs, weights.detach() * advantages.detach())


def policy_gradient_loss(logprobs: Tensor, advantages: Tensor) -> Tensor:
    """-mean(log π(a_t|s_t) A_t), whose gradient is minus the policy gradient (Williams, 1992).

    Both (N,); no gradient flows into the advantages. A scalar.
    """
    _check(logprobs=logprobs, advantages=advantages)
    return -(logprobs * advantages.detach()).mean()


def ppo_clip_loss(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, clip: float
) -> Tensor:
    """PPO's clipped surrogate objective, negated (Schulman et al., 2017, Eq. 7).

        L = -mean(min(r_t A_t, clip(r_t, 1-ε, 1+ε) A_t)),    r_t = π(a_t|s_t) / π_old(a_t|s_t)

    All (N,); gradient flows into `logprobs` only. A scalar. The minimum is over the products: a
    row loses its gradient only once its ratio has moved more than ε the way its advantage asks.
    """
    _check(logprobs=logprobs, old_logprobs=old_logprobs, advantages=advantages)
    advantages = advantages.detach()
    ratio = (logprobs - old_logprobs.detach()).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages).mean()


@torch.no_grad()
def epsilon_greedy(q: Tensor, epsilon: Tensor | float) -> Tensor:
    """For each row the best action, or with probability ε any, drawn evenly (Watkins, 1989).

    Q-values of every action: (N, A). `epsilon`: one number, or (N,), one a row. Actions: (N,),
    int64, without gradient. Each row draws for itself, from torch's global generator, and what it
    draws may be the best action again: that one has the probability 1 - ε + ε / A.
    """
    if q.ndim != 2 or getattr(epsilon, "shape", ()) not in ((), q.shape[:1]):
        raise ValueError(
            f"q has shape {tuple(q.shape)}, epsilon {tuple(getattr(epsilon, 'shape', ()))}, "
            "expected (N, A), and a number or (N,)"
        )
    explores = torch.rand(len(q), device=q.device) < epsilon
    best = q.argmax(dim=1)
    return torch.where(explores, torch.randint_like(best, q.shape[1]), best)


@torch.no_grad()
def td_target(rewards: Tensor, next_values: Tensor, terminated: Tensor, gamma: float) -> Tensor:
    """One-step targets r + γ V(s'), or r where s' is terminal (Sutton & Barto, 2018, Eq. 6.2).

    All (N,), a row a transition: `next_values` and `terminated` belong to the state it led to.
    Carries no gradient.
    """
    _check(rewards=rewards, next_values=next_values, terminated=terminated)
    return rewards + gamma * torch.where(terminated, 0, next_values)


@torch.no_grad()
def double_q_target(
    rewards: Tensor, next_q_online: Tensor, next_q_target: Tensor, terminated: Tensor, gamma: float
) -> Tensor:
    """Double Q-learning targets: one network chooses, the other judges (van Hasselt et al., 2016).

        r + γ Q_target(s', argmax_a Q_online(s', a)),    or r where s' is terminal

    `rewards` and `terminated`: (N,), as in `td_target`. Q-values of every action in s': (N, A).
    Carries no gradient.
    """
    online, target = tuple(next_q_online.shape), tuple(next_q_target.shape)
    if online != target or len(online) != 2 or online[0] != rewards.numel():
        raise ValueError(
            f"next_q_online has shape {online}, next_q_target {target}, "
            f"expected (N, A) for both, with N = {rewards.numel()}"
        )
    return td_target(rewards, double_q_value(next_q_online, next_q_target), terminated, gamma)


@torch.no_grad()
def double_q_value(q_online: Tensor, q_target: Tensor) -> Tensor:
    """The value of a state to double Q-learning: one network chooses, the other judges.

        V(s) = Q_target(s, argmax_a Q_online(s, a))

    Q-values of every action: (N, A). The result: (N,), without gradient.
    """
    online, target = tuple(q_online.shape), tuple(q_target.shape)
    if online != target or len(online) != 2:
        raise ValueError(
            f"q_online has shape {online}, q_target {target}, expected (N, A) for both"
        )
    return q_target.gather(1, q_online.argmax(dim=1, keepdim=True)).squeeze(1)


def lower_value(q: Sequence[Tensor]) -> Tensor:
    """The lowest that any of the critics says, row by row (Fujimoto et al., 2018, section 4.2).

        V(s) = min_k Q_k(s, a)

    `q` holds one (N,) for each critic, all of the same actions. The result: (N,). Critics that err
    apart from each other do not put a peak at the same place.
    """
    _check(**{f"q[{k}]": one for k, one in enumerate(q)})
    return torch.stack(tuple(q)).amin(0)


def soft_value(q: Sequence[Tensor], logprobs: Tensor, alpha: Tensor | float) -> Tensor:
    """The value of a state to whom entropy is worth something (Haarnoja et al., 2018, Eq. 3).

        V(s) = min_k Q_k(s, a) - α log π(a|s),    a ~ π(·|s)

    `q` holds one (N,) for each critic, and `logprobs` is (N,), of an action drawn from π as it is
    now. `alpha`, one number, is the reward that a nat of entropy is worth. The result: (N,).
    """
    _check(logprobs=logprobs, **{f"q[{k}]": one for k, one in enumerate(q)})
    return lower_value(q) - alpha * logprobs


def temperature_loss(log_alpha: Tensor, logprobs: Tensor, entropy_target: float) -> Tensor:
    """Lowers α where the policy has more entropy than wanted, and raises it where it has less.

        L = -log α · mean_t(log π(a_t|s_t) + H),    H = entropy_target, in nats

    `log_alpha`: one number, a scalar; `logprobs`: (N,), of actions drawn from π as it is now, and
    without gradient here. The paper (Haarnoja et al., 2018, "Soft actor-critic algorithms and
    applications", Eq. 18) has α before the mean, and its code the logarithm: the sign and the zero
    of the slope are the same, and the step does not get smaller with α. A scalar.
    """
    _check(logprobs=logprobs)
    return log_alpha * (-logprobs.detach() - entropy_target).mean()


def squashed_log_prob(
    before: Tensor, mean: Tensor, std: Tensor, scale: Tensor | float = 1.0
) -> Tensor:
    """log-density of a = m + c tanh(u), u ~ N(mean, std), of each number of an action by itself.

        log π(a) = log N(u; mean, std) - log(c (1 - tanh² u))

    (Haarnoja et al., 2018, app. C, and the c of a Box wider than [-1, 1].) `before` is u, not a:
    in single precision the tanh of 10 is 1. All of the shape of `before`, (N, D), except that
    `scale`, c, may be (D,) or one number. The row's density is the sum over its numbers.
    """
    scale = torch.as_tensor(scale, dtype=before.dtype, device=before.device)
    # log(1 - tanh²u) = 2 (log 2 - u + log σ(2u)), without cancellation for large |u|.
    slope = 2 * (math.log(2) - before + logsigmoid(2 * before))
    gaussian = -((before - mean) ** 2) / (2 * std**2) - std.log() - math.log(2 * math.pi) / 2
    return gaussian - slope - scale.log()


def smoothed_actions(
    actions: Tensor, low: Tensor, high: Tensor, noise: float, clip: float
) -> Tensor:
    """Actions near those of the policy, to judge (Fujimoto et al., 2018, section 5.3).

        a + c clip(ε, -clip, clip), kept in [low, high],    ε ~ N(0, noise),  c = (high - low) / 2

    `actions`: (N, D); a draw for each row and each number. `low`, `high`: (D,), the bounds of the
    Box; `noise` and `clip` are in halves of its width.
    """
    blur = (noise * torch.randn_like(actions)).clamp(-clip, clip) * (high - low) / 2
    return (actions + blur).clamp(low, high)


def value_loss(values: Tensor, returns: Tensor, deviation: float = 1.0) -> Tensor:
    """The mean squared error of the values, in units of `deviation` squared: a scalar from (N,).

    mean_t ((V_t - G_t) / σ)². No gradient flows into the returns: they are measurements, also where
    a value was used to make them (the semi-gradient of Sutton & Barto, 2018, section 9.3).
    With σ the deviation of the returns, 1 is the loss of the best constant."""
    _check(values=values, returns=returns)
    return ((values - returns.detach()) / deviation).square().mean()


def huber_loss(values: Tensor, returns: Tensor, delta: float = 1.0) -> Tensor:
    """The mean Huber loss of values, a scalar from (N,) (Huber, 1964; DQN's clipped error).

        e_t = V_t - G_t,    e_t² / 2 where |e_t| < κ,    κ (|e_t| - κ / 2) elsewhere

    κ is `delta`. The slope of a row is its error, at most κ: no row is cut off, and none pulls
    harder than that. No gradient flows into the returns.
    """
    _check(values=values, returns=returns)
    return nn.functional.huber_loss(values, returns.detach(), delta=delta)


def replay_indices(first: Tensor, end: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Rows of windows of a ring, (M,) int64, back to back, and how many each window has, (N,).

    A window begins at a row of `first` (N,), which is no end row. It goes on, at the ring's last
    row from its row 0, for at most `length` rows, and no further than to the first end row, which
    belongs to it. `end` (capacity,) marks them; the newest row in store must be one, as it is when
    only whole fragments are stored: so no window runs from the newest row into the oldest.
    """
    if length < 2 or end.dtype != torch.bool:
        raise ValueError(
            f"length is {length}, end has dtype {end.dtype}, expected 2 or more, and torch.bool"
        )
    rows = (first[:, None] + torch.arange(length, device=first.device)) % len(end)
    if length == 2:  # a step and where it led, with nothing to look up
        return rows.flatten(), torch.full_like(first, 2)
    ends = end[rows]
    inside = ends.cumsum(1) - ends.long() == 0  # up to the first end row, and with it
    return rows[inside], inside.sum(1)


@torch.no_grad()
def explained_variance(values: Tensor, returns: Tensor) -> Tensor:
    """The part of the returns' variance that the values predict: 1 - Var[G - V] / Var[G].

    Both (N,). A scalar: 1 is perfect, 0 no better than a constant, below 0 worse. Returns that do
    not vary leave nothing to explain, which counts as 0. Carries no gradient.
    """
    _check(values=values, returns=returns)
    # var_mean of equal numbers is exactly 0. That of var is a rounding error, and we divide by it.
    total, residual = (torch.var_mean(x, correction=0)[0] for x in (returns, returns - values))
    return torch.where(total == 0, 0, 1 - residual / total)


def normalize(x: Tensor, mask: Tensor | None = None, eps: float = 1e-8) -> Tensor:
    """(x - mean) / (std + eps) over the rows where `mask` is true; all other rows become 0.

    Both (N,). The deviation is the population's: a single row gives 0, not NaN.
    """
    if mask is None:
        _check(x=x)
        kept = x
    else:
        _check(x=x, mask=mask)
        kept = x[mask]
    if not len(kept):
        return torch.zeros_like(x)
    # std_mean finds the mean of equal numbers exactly. Rounding in it would be divided by eps.
    std, mean = torch.std_mean(kept, correction=0)
    scaled = (x - mean) / (std + eps)
    return scaled if mask is None else torch.where(mask, scaled, 0)


def approx_kl(logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
    """mean((r - 1) - log r), r = π / π_old, an estimate of KL(π_old, π) (Schulman, 2020, k3).

    Both (N,), of actions sampled from π_old. A scalar, never negative, unlike mean(-log r).
    """
    _check(logprobs=logprobs, old_logprobs=old_logprobs)
    log_ratio = logprobs - old_logprobs
    return (log_ratio.expm1() - log_ratio).mean()


def clip_fraction(logprobs: Tensor, old_logprobs: Tensor, clip: float) -> Tensor:
    """The fraction of rows whose ratio π / π_old lies outside [1-ε, 1+ε]. Both (N,). A scalar."""
    _check(logprobs=logprobs, old_logprobs=old_logprobs)
    ratio = (logprobs - old_logprobs).exp()
    return ((ratio - 1).abs() > clip).to(ratio).mean()


@torch.no_grad()
def polyak_update(target_module: nn.Module, online_module: nn.Module, tau: float) -> None:
    """θ_target <- (1-τ) θ_target + τ θ_online, in place (Lillicrap et al., 2016, Algorithm 1).

    Buffers are copied, not mixed. Raises a ValueError if names or shapes differ.
    """
    target, online = (
        {**dict(module.named_parameters()), **dict(module.named_buffers())}
        for module in (target_module, online_module)
    )
    ours, theirs = ({(k, tuple(t.shape)) for k, t in d.items()} for d in (target, online))
    if ours != theirs:
        raise ValueError(f"target_module has {ours - theirs}, online_module {theirs - ours}")
    for name, tensor in target.items():
        if isinstance(tensor, nn.Parameter):
            tensor.lerp_(online[name], tau)
        else:
            tensor.copy_(online[name])
