import pytest

from vfl.errors import JobError
from vfl_bench.harness import Row
from vfl_bench.plot import check_target, curves, plot_gradient


def gradient(peer, batch, features, us, threads=1, parameters="n: 3072 bit"):
    facts = {"batch": batch, "features": features, "threads": threads, "parameters": parameters}
    return Row("g", peer, "product", us, us / 2, us * 2, us, 3, facts, {})


ROWS = [
    gradient(peer, batch, features, us)
    for peer, us in (("vfl", 1.0), ("phe", 50.0))
    for batch in (64, 256)
    for features in (4, 16)
]
ELSE = Row("s/add/vfl", "vfl", "value", 1.0, 1.0, 1.0, 1.0, 3, {"threads": 1}, {})


def test_the_dearest_curve_comes_first_and_other_works_are_none():
    found = curves([ELSE, *ROWS])
    assert [(c.peer, len(c.points)) for c in found] == [("phe", 4), ("vfl", 4)]
    assert [(size, row.real_time) for size, row in found[1].along("batch", 16)] == [
        (64, 1.0),
        (256, 1.0),
    ]
    assert [size for size, _ in found[1].along("features", 64)] == [4, 16]


def test_the_same_contender_in_the_works_of_two_thread_counts_is_one_curve():
    rows = [
        gradient("vfl", 64, 4, 3.0),
        gradient("vfl", 64, 4, 2.0, threads=2),
        gradient("vfl 1 thread", 64, 4, 9.0),
    ]
    found = curves(rows)
    assert [(c.label, c.points[64, 4].real_time) for c in found] == [
        ("vfl\nn: 3072 bit", 3.0),
        ("vfl, 2 threads\nn: 3072 bit", 2.0),
    ]


def test_a_curve_is_the_cost_of_whole_gradients(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    drawn = []
    plot = Axes.plot
    monkeypatch.setattr(
        Axes, "plot", lambda self, x, y, **kw: (drawn.append((x, y)), plot(self, x, y, **kw))[1]
    )
    plot_gradient(ROWS, tmp_path / "g.png")
    by_batch, by_features = drawn[1], drawn[3]  # phe, vfl; phe, vfl
    assert by_batch == ([64, 256], pytest.approx([64 * 16 / 1e3, 256 * 16 / 1e3]))
    assert by_features == ([4, 16], pytest.approx([256 * 4 / 1e3, 256 * 16 / 1e3]))


def test_the_suffix_gives_the_format(tmp_path):
    plot_gradient(ROWS, tmp_path / "g.png")
    plot_gradient(ROWS, tmp_path / "g.svg")
    assert (tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "g.svg").read_text()
    assert "phe" in text
    assert "features = 16" in text


def test_what_cannot_be_plotted_is_said(tmp_path):
    with pytest.raises(JobError, match="nothing to plot"):
        plot_gradient([ELSE], tmp_path / "g.png")
    with pytest.raises(JobError, match=r"\.png or \.svg; got 'g.pdf'"):
        check_target(tmp_path / "g.pdf")
    with pytest.raises(JobError, match="cannot write"):
        plot_gradient(ROWS, tmp_path / "missing" / "g.png")
