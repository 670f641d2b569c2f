"""Several processes or machines that play for one learner, on Ray: `pip install 'rlx[cluster]'`.

    from rlx.cluster import ClusterAgent

    with ClusterAgent("CartPole-v1", workers=4, envs=16, seed=0) as agent:
        algorithm = rlx.algos.PPO(agent, rlx.networks.MLPPolicy(agent))
        rlx.train(algorithm, updates=100)

Nothing else in the library imports this package. docs/cluster.md leads from here to many machines.
"""

try:
    import ray  # noqa: F401
except ImportError as error:
    raise ImportError(
        "rlx.cluster plays on Ray, which is not installed: pip install 'rlx[cluster]'"
    ) from error

from rlx.cluster.agent import ClusterAgent
from rlx.cluster.sampler import ClusterSampler

__all__ = ["ClusterAgent", "ClusterSampler"]
