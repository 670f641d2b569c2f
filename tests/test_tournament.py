"""The nets of a class: files that are data, and a table of everyone against everyone."""

import pickle
import zipfile

import numpy as np
import pytest
import torch

import rlx
from rlx.course.tournament import FORMAT, LARGEST, load_net, load_nets, main, play_tournament
from rlx.course.tournament import save_net as save
from rlx.envs.slimevolley import action_space, observation_space


def net(seed=0, **options):
    torch.manual_seed(seed)
    return rlx.networks.MLPPolicy(observation_space(), action_space("discrete"), **options)


def test_a_net_plays_as_it_was_saved(tmp_path):
    policy = net(hidden=(5, 4, 3))
    save(policy, tmp_path / "nets" / "a", "Ada")
    name, read = load_net(tmp_path / "nets" / "a.npz")
    assert name == "Ada"
    seen = torch.randn(7, 12)
    torch.testing.assert_close(
        read(None, seen)[1].components[0].logits, policy(None, seen)[1].components[0].logits
    )
    assert not any(p.requires_grad for p in read.parameters())


@pytest.mark.parametrize(
    "policy",
    [
        lambda: net(memory="gru"),
        lambda: rlx.networks.MLPPolicy(observation_space(), action_space("buttons")),
        lambda: "follower",
    ],
    ids=["memory", "buttons", "name"],
)
def test_what_is_no_net_is_not_saved(tmp_path, policy):
    with pytest.raises(TypeError, match="table of six"):
        save(policy(), tmp_path / "a.npz", "a")


def written(path, **changes):
    """A file of save_net with some entries changed; None takes one out."""
    save(net(hidden=3), path, "honest")
    with np.load(path) as file:
        arrays = {**dict(file), **changes}
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("a file was executed",))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"format": np.array("rlx net 2")}, "does not say"),
        ({"format": None}, "does not say"),
        ({"name": np.array(3)}, "does not say"),
        ({"bias1": None}, "not complete"),
        ({"weight7": np.zeros((2, 2), np.float32)}, "not complete"),
        ({"weight0": np.zeros((3, 11), np.float32)}, "layer 0 .* does not fit 12 inputs"),
        ({"bias0": np.zeros((3, 1), np.float32)}, "layer 0"),
        ({"weight1": np.zeros((3, 3))}, "no float32"),
        ({"bias2": np.full(6, np.nan, np.float32)}, "infinite"),
        (
            {"weight2": np.zeros((5, 3), np.float32), "bias2": np.zeros(5, np.float32)},
            "end in 5 actions",
        ),
        ({"weight0": np.array(Evil(), dtype=object)}, "allow_pickle"),
    ],
    ids=range(11),
)
def test_a_bad_file_is_named_with_the_reason(tmp_path, changes, why):
    written(tmp_path / "bad.npz", **changes)
    save(net(), tmp_path / "good.npz", "good")
    players, skipped = load_nets(tmp_path)
    assert list(players) == ["good"]
    assert list(skipped) == ["bad.npz"]
    with pytest.raises(ValueError, match=why):
        raise ValueError(skipped["bad.npz"])


def test_files_of_other_kinds(tmp_path):
    (tmp_path / "a.npz").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "b.npz").write_bytes(b"")
    (tmp_path / "c.npz").write_bytes(written(tmp_path / "whole.npz").read_bytes()[:700])
    (tmp_path / "whole.npz").unlink()
    (tmp_path / "d.npz").write_bytes(bytes(LARGEST + 1))
    with zipfile.ZipFile(tmp_path / "e.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("weight0.npy", bytes(100 * LARGEST))  # a bomb
    np.savez_compressed(tmp_path / "f.npz", format=np.array(FORMAT))
    np.save(tmp_path / "g.npy", np.array(Evil(), dtype=object))
    (tmp_path / "h.py").write_text("raise SystemExit")
    (tmp_path / "folder").mkdir()
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "gone.npz").symlink_to(tmp_path / "nowhere")
    players, skipped = load_nets(tmp_path)
    assert not players
    assert sorted(name[0] for name in skipped) == list("abcdefgg") + ["h"]
    assert "larger" in skipped["d.npz"]
    assert "unpacks to 200,000,000 bytes" in skipped["e.npz"]
    assert "compressed" in skipped["f.npz"]


def test_a_header_that_promises_too_much(tmp_path):
    """Numpy would make room for what the header says before it reads."""
    header = {"descr": "<f4", "fortran_order": False, "shape": (10**9, 12)}
    with zipfile.ZipFile(written(tmp_path / "a.npz"), "a") as file, file.open("x.npy", "w") as part:
        np.lib.format.write_array_header_1_0(part, header)
    assert "a.npz" in load_nets(tmp_path)[1]


def test_names_are_made_fit_to_print(tmp_path):
    save(net(), tmp_path / "1.npz", "Ada\x1b[2J\n  Lovelace")
    save(net(), tmp_path / "2.npz", "x" * 1000)
    save(net(), tmp_path / "3.npz", "x" * 1000)
    save(net(), tmp_path / "4.npz", "\x07")
    save(net(), tmp_path / "5.npz", "follower")
    names = list(load_nets(tmp_path)[0])
    assert names == ["Ada[2J Lovelace", "x" * 40, "x" * 40 + " (3.npz)", "4", "follower (5.npz)"]


def test_a_table():
    players = {"a": "still", "b": "follower", "c": "random"}
    table = play_tournament(players, games=10, seed=0)
    assert table.names[0] == "b"
    assert (table.points + table.points.T == 10 * (1 - np.eye(3))).all()
    assert (np.diff(table.ratings) <= 0).all()
    assert (np.diag(table.rates) == 0.5).all()
    first, *lines = str(table).splitlines()
    assert "points a game" in first
    assert lines[0].startswith("1  b  1.00 [0.84, 1.00]")
    assert len(lines) == 3
    assert lines[2].count("[") == 1  # nobody is below the last
    torch.manual_seed(5)
    assert str(play_tournament(players, games=10, seed=0)) == str(table)


def test_the_command(tmp_path, capsys):
    save(net(0), tmp_path / "a.npz", "Ada")
    (tmp_path / "b.npz").write_bytes(b"no net")
    assert main([str(tmp_path), "--games", "2", "--with", "still"]) == 0
    out, err = capsys.readouterr()
    assert "Ada" in out
    assert "still" in out
    assert "skipped b.npz: it is no .npz file" in err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["{}", "--games", "2"], "needs two nets, and there are 0"),
        (["{}/nowhere"], "No such file"),
        (["{}", "--with", "still", "random", "--games", "3"], "even"),
    ],
    ids=["empty", "missing", "odd"],
)
def test_a_user_s_error_is_one_line(tmp_path, capsys, arguments, why):
    with pytest.raises(SystemExit):
        main([argument.format(tmp_path) for argument in arguments])
    assert why in capsys.readouterr().err
