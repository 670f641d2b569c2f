"""Train an agent from the command line: python main.py --algo ppo --env CartPole-v1"""

from rlx.cli import main

if __name__ == "__main__":
    main()
